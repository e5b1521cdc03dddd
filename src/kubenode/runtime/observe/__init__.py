"""What is outside and not in the API: asked for the controllers, and what came of it remembered as observations."""
