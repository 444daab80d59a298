"""How requests prove whose they are: keys, tokens, and where short-lived ones come from."""
