"""What a chapter computes on its way: one module a chapter, each function a tidy frame or a figure of one customer."""
