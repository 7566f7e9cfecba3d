"""What the leaves of the arguments and answers of a JAX function are called."""

from __future__ import annotations

from typing import Any


def input_names(tree: Any) -> list[str]:
    """By the tree of positional and keyword arguments: the names of dicts and keywords, else x0, x1 and so on."""
    import jax

    numbered = jax.tree_util.tree_unflatten(tree, range(tree.num_leaves))
    positional, _ = numbered
    leaves, _ = jax.tree_util.tree_flatten_with_path(numbered)
    names = [".".join(_word(key) for key in path[2:]) for path, _ in leaves]
    firsts = [(path[0].idx, path[1]) for path, _ in leaves]
    found = []
    for name, (side, first) in zip(names, firsts, strict=True):
        if side == 1:
            found.append(".".join(part for part in (_word(first), name) if part))
        elif not name:
            found.append(f"x{first.idx}")
        else:
            found.append(name if len(positional) == 1 else f"x{first.idx}.{name}")
    return _told_apart(found, "x")


def output_names(tree: Any) -> list[str]:
    """`output` for a single array; the names of a dict; else output_0, output_1 and so on."""
    import jax

    leaves, _ = jax.tree_util.tree_flatten_with_path(jax.tree_util.tree_unflatten(tree, range(tree.num_leaves)))
    names = [".".join(_word(key) for key in path) for path, _ in leaves]
    if names == [""]:
        return ["output"]
    return _told_apart([f"output_{name}" if name[:1].isdigit() else name for name in names], "output_")


def _word(key: Any) -> str:
    return str(next(getattr(key, name) for name in ("key", "name", "idx") if hasattr(key, name)))


def _told_apart(names: list[str], prefix: str) -> list[str]:
    """Numbers where two would have one name."""
    return names if len(set(names)) == len(names) else [f"{prefix}{number}" for number in range(len(names))]
