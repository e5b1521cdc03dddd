"""An episode of remedy: from a Node's condition to a proven repair, or to a human."""
