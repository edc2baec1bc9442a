"""Real multimodal data: two or more views of the same samples, checked and documented.

Every loader returns a :class:`~sklearn.utils.Bunch` with one 2-D array per modality under its name,
``train`` and ``test`` rows, and ``DESCR``: where the data come from and under which licence.
"""

from ._fetch import get_data_home
from .awa import load_awa
from .basic_motions import fetch_basic_motions
from .digit_captions import load_digit_captions, measure_style
from .emoji import load_emoji
from .japanese_vowels import fetch_japanese_vowels
from .liver_toxicity import load_liver_toxicity
from .mnist import fetch_mnist
from .multiple_features import fetch_multiple_features
from .spoken_digits import fetch_spoken_digits, mfcc, mfcc_summary
from .uci_tables import fetch_uci_table
from .wikipedia import fetch_wikipedia

__all__ = [
    "fetch_basic_motions",
    "fetch_japanese_vowels",
    "fetch_mnist",
    "fetch_multiple_features",
    "fetch_spoken_digits",
    "fetch_uci_table",
    "fetch_wikipedia",
    "get_data_home",
    "load_awa",
    "load_digit_captions",
    "load_emoji",
    "load_liver_toxicity",
    "measure_style",
    "mfcc",
    "mfcc_summary",
]
