"""The protos of the API, for those who generate clients from them."""
