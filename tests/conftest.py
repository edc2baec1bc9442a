"""Settings of the whole suite.

Property tests draw the same examples every time, so that a run says something about the change that
was made. To look for new failures, let them draw others: ``pytest --hypothesis-profile=search``.
"""

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=5000, deadline=None)
settings.load_profile("same")
