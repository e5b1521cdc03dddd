"""The detector of a real host: reads its logs, looks at it, and asks core/detect what that means."""
