"""How each way of waiting works: handlers, accepting, deadlines, the shutdown."""
