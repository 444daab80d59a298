"""AI21 Labs: Jamba chat and J2 completions."""
