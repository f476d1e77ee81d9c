"""A model's card as it goes into a file for others: without the folders of the machine that it was trained on."""

from __future__ import annotations

from dataclasses import replace

from thumbnet.export.model_card.facts import is_private, short_source
from thumbnet.models.card import ModelCard


def public_card(card: ModelCard) -> ModelCard:
    """The card, with the user's places of data as their last names, and of a note on the data, which may name folders,
    what matters to others."""
    note = f"{short_source(card.data)} stands in for other data, which was not there" if card.data_note else ""
    card = replace(card, data_note=note)
    if not is_private(card.data):
        return card
    source = short_source(card.data)
    return replace(card, data=source, data_description=source)
