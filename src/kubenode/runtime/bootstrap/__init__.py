"""How an agent gets onto a host: over SSH, or by a line that is pasted there.

`steps` says what has to be done, as data; `install` does it and undoes it; `ssh` is the way to a host; `importing` is
the whole use case, from the Machine to Running.
"""
