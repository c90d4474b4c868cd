"""The stories: deterministic generators that read as the warm-up they tell."""
