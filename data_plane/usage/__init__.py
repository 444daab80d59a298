"""The usage ledger: journalled on this machine, shipped to the control plane."""
