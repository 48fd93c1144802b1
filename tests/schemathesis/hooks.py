"""What an OpenAPI document can't say: a user's id is bounded in bytes, not in characters."""

import schemathesis
from hypothesis import strategies

schemathesis.openapi.format(
    "user-id",
    strategies.text(
        strategies.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=128
    ).filter(lambda it: len(it.encode()) <= 128),
)
