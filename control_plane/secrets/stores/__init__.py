"""Other places where secrets are kept, behind one interface: `base`."""
