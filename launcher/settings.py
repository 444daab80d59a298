"""Settings of a launcher, each with its default beside it."""
