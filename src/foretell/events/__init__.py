"""`foretell stream`: every event answered once, in order, from a source to a sink. The room is not called `stream`,
since `foretell.stream` is the function: a package of that name would take its place."""
