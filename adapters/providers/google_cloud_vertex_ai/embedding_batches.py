"""Splits texts into requests by number and by tokens: pure. Used by `embeddings.py`."""

import re
from collections.abc import Iterator, Sequence

_LETTERS = re.compile("[A-Za-z ]+")


def split_texts(texts: Sequence[str], most_texts: int, most_tokens: int) -> Iterator[list[str]]:
    """Yield the texts in batches, in order; none is empty.

    A text that is too long for any batch is one by itself: the model says what becomes of it.

    Args:
        texts: The texts.
        most_texts: Texts that a batch may hold.
        most_tokens: Tokens that a batch may hold.
    """
    batch: list[str] = []
    total = 0
    for text in texts:
        tokens = bound_tokens(text)
        if batch and (len(batch) == most_texts or total + tokens > most_tokens):
            yield batch
            batch, total = [], 0
        batch.append(text)
        total += tokens
    if batch:
        yield batch


def bound_tokens(text: str) -> int:
    """Return a number of tokens that a text hardly ever exceeds.

    Letters and spaces come two to a token at the least; a digit, a sign or, in scripts that the
    model knows badly, a single byte may be one. One more stands for the text's beginning.
    """
    size = len(text.encode(errors="surrogatepass"))
    letters = sum(map(len, _LETTERS.findall(text)))
    return 1 + size - letters // 2
