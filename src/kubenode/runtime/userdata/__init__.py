"""What an instance is given at its first boot, for cloud-init: what people wrote, and what installs and enrols the agent."""
