"""The typed RPCs: messages in the place of JSON."""
