"""
Finding pictures by what is said of them
========================================

Which of these pictures is "a thick seven leaning right"? An embedding learnt by contrast puts
pictures and words into one space; a search is then a matter of cosines.
"""

# %%
# Pictures of handwritten digits come with captions, of which only the word counts are used. Rows
# with the same words belong together, so the captions are the labels. A fifth of the pictures is
# held out: it is the gallery in which we search.

import matplotlib.pyplot as plt
import numpy as np

import mmgraph as mg

digits = mg.datasets.load_digit_captions()
X, modalities = mg.pack(image=digits.image, text=digits.counts)
captions = np.array(digits.captions)

model = mg.ContrastiveEmbedding(
    32, hidden={"image": (256,)}, dropout=0.3, modalities=modalities, max_iter=60, random_state=0
)
model.fit(X[digits.train], captions[digits.train])

# %%
# Searching
# ---------
#
# A query is a row that shows only its words. The captions of the hits are printed under them, with
# what is said of neither left out.

QUERIES = [
    "seven thick leaning right",
    "zero narrow",
    "four thin wide",
    "one leaning left",
    "three wide leaning right",
]


def count(sentence):
    """Word counts of a query, in the way of the captions: the digit is named twice."""
    words = sentence.split()
    return [words.count(word) * (1 + (word in digits.target_names)) for word in digits.vocabulary]


queries, _ = mg.pack(modalities, text=np.array([count(query) for query in QUERIES]))
gallery = X[digits.test]
similar = model.embed(queries, "text") @ model.embed(gallery, "image").T
hits = np.argsort(-similar, axis=1)[:, :6]

fig, axes = plt.subplots(len(QUERIES), 7, figsize=(9, 7.5))
for row, query, found in zip(axes, QUERIES, hits, strict=True):
    row[0].text(1.0, 0.5, query.replace(" ", "\n", 1), ha="right", va="center", fontsize=11)
    row[0].axis("off")
    for ax, hit in zip(row[1:], found, strict=True):
        picture = digits.test[hit]
        ax.imshow(digits.images[picture], cmap="gray_r")
        ax.set(xticks=[], yticks=[])
        said = captions[picture].partition(": ")[2].split(maxsplit=1)[1]
        ax.set_xlabel(said.replace(" leaning", "\nleaning"), fontsize=7)
fig.suptitle("Words, and the pictures nearest to them")
fig.tight_layout()
plt.show()

# %%
# How often is it right?
# ----------------------
#
# Every caption of the gallery asks for its pictures. A hit is right if its caption is the same.
# Beside it the start of the embedding: canonical variates, which are linear.

start = mg.ContrastiveEmbedding(32, modalities=modalities, max_iter=1, learning_rate=1e-12)
start.fit(X[digits.train])
truth = captions[digits.test]
asked = np.unique(truth, return_index=True)[1]
for name, fitted in {"canonical variates": start, "contrast": model}.items():
    images, texts = (fitted.embed(gallery, name) for name in modalities)
    best = np.argsort(-texts[asked] @ images.T, axis=1)
    right = truth[best] == truth[asked][:, None]
    print(f"{name:18}  first hit right: {right[:, 0].mean():.0%}", end="  ")
    print(f"one of the first five: {right[:, :5].any(axis=1).mean():.0%}")
