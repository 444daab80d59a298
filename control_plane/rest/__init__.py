"""REST calls of management, whose JSON the control plane reads itself."""
