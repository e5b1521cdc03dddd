"""The only home of clocks, tasks, sockets, files and logging."""
