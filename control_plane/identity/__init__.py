"""Who calls: users, service principals, groups, their tokens, and outside issuers."""
