"""Profiles onto fixed depths: linear, never beyond the observations, never far from one, quality flags carried along.

A variable of a profile is what its slots hold with a finite value at a finite depth of 0 m or more, where the flags
of both are accepted; slots of equal depth are averaged and keep the worst of their flags. A target depth has a value
where it lies between the first and the last of these and the nearer of its two neighbours is within 10 m or a tenth
of the depth, whichever is more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.transform.compiled import Array, compiled

#: An observation supports targets within this distance, metres, or within this part of their depth.
REACH_METRES = 10.0
REACH_PART = 0.1
#: An observation this close to a target, metres, is at it: its flag is the target's.
EXACT_METRES = 1e-6
#: The flag of a level that nothing supports.
UNSUPPORTED = -1


@dataclass(frozen=True, eq=False)
class Aligned:
    """One variable of some profiles on the target depths.

    ``values`` float32, NaN where missing, and ``flags`` int8, -1 where missing: both [profile, level].
    """

    values: NDArray[np.float32]
    flags: NDArray[np.int8]


@compiled
def _sorted_slots(depth: Array, flags: Array, accepted: Array, slots: Array) -> int:
    """Slots with a usable depth, by depth, equal ones as they came, into ``slots``; returns how many."""
    end = depth.shape[0]
    while end > 0 and not depth[end - 1] == depth[end - 1]:  # most slots are fill, at the end
        end -= 1
    count = 0
    ordered = True
    previous = np.float32(0.0)
    for slot in range(end):
        at = depth[slot]
        if at >= 0.0 and at < np.inf and accepted[np.uint8(flags[slot])]:
            slots[count] = slot
            count += 1
            ordered &= at >= previous
            previous = at
    if not ordered:
        found = slots[:count].copy()
        order = np.argsort(depth[found], kind="mergesort")
        for k in range(count):
            slots[k] = found[order[k]]
    return count


@compiled
def _observations(
    depth: Array,
    values: Array,
    flags: Array,
    accepted: Array,
    slots: Array,
    count: int,
    at: Array,
    mean: Array,
    worst: Array,
) -> int:
    """What a variable has at the sorted slots, equal depths averaged, into the last three; returns how many."""
    last = -1
    same = 1
    for k in range(count):
        slot = slots[k]
        value = values[slot]
        flag = flags[slot]
        if not (np.isfinite(value) and accepted[np.uint8(flag)]):
            continue
        if last >= 0 and at[last] == depth[slot]:
            same += 1
            mean[last] += value
            worst[last] = max(worst[last], flag)
            continue
        if same > 1:
            mean[last] /= same
            same = 1
        last += 1
        at[last] = depth[slot]
        mean[last] = value
        worst[last] = flag
    if same > 1:
        mean[last] /= same
    return last + 1


@compiled
def _interpolate(
    at: Array, mean: Array, worst: Array, count: int, target: Array, reach: Array, out: Array, out_flags: Array
) -> None:
    """Fill the levels that ``count`` observations support; the others are left as they are."""
    right = 0
    for level in range(target.shape[0]):
        z = target[level]
        if count == 0 or z > at[count - 1]:
            return
        if z < at[0]:
            continue
        while at[right] < z:
            right += 1
        left = max(right - 1, 0)
        above = z - at[left]
        below = at[right] - z
        if below == 0.0:
            out[level] = mean[right]
            out_flags[level] = worst[right]
        elif min(above, below) <= reach[level]:
            out[level] = mean[left] + (mean[right] - mean[left]) * (above / (above + below))
            flag = max(worst[left], worst[right])
            if min(above, below) <= EXACT_METRES:
                flag = worst[left] if above < below else worst[right]
            out_flags[level] = flag


@compiled
def _align(
    depth: Array,
    depth_flags: Array,
    values: tuple[Array, ...],
    flags: tuple[Array, ...],
    accepted: Array,
    usable: Array,
    target: Array,
    reach: Array,
    out: Array,
    out_flags: Array,
) -> None:
    width = depth.shape[1]
    slots = np.empty(width, np.int64)
    at = np.empty(width, np.float64)
    mean = np.empty(width, np.float64)
    worst = np.empty(width, np.int8)
    for profile in range(depth.shape[0]):
        count = _sorted_slots(depth[profile], depth_flags[profile], accepted[-1], slots)
        for v in range(len(values)):
            if usable[v, profile]:
                found = _observations(
                    depth[profile], values[v][profile], flags[v][profile], accepted[v], slots, count, at, mean, worst
                )
                _interpolate(at, mean, worst, found, target, reach, out[v, profile], out_flags[v, profile])


def _unwritable(array: NDArray[Any], dtype: type[np.float32 | np.int8], shape: tuple[int, ...]) -> NDArray[Any]:
    """The same type for every input of the kernel, whether its memory may be written or not."""
    if array.shape != shape:
        raise ValueError(f"depths, values and flags must have one shape, got {shape} and {array.shape}")
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


def align(
    depth: NDArray[np.float32],
    depth_flags: NDArray[np.int8],
    values: Sequence[NDArray[np.float32]],
    flags: Sequence[NDArray[np.int8]],
    accepted: NDArray[np.bool_],
    usable: Sequence[NDArray[np.bool_]],
    target: NDArray[np.float64],
    *,
    depth_accepted: NDArray[np.bool_] | None = None,
) -> list[Aligned]:
    """Put variables of many profiles on the target depths, in one pass over the profiles.

    Args:
        depth: metres, positive downwards, in any order, NaN where missing: [profile, slot].
        depth_flags: quality flags of the depths: [profile, slot].
        values: of each variable, NaN where missing: [profile, slot].
        flags: quality flags of each variable: [profile, slot].
        accepted: whether a flag lets a value pass, by the flag as uint8 (-1 is 255): [256].
        usable: for each variable, whether the profile's values of it may be used at all: [profile].
        target: depths, metres, ascending: [level].
        depth_accepted: the same for the flags of the depths, where their convention is another one: [256].

    Returns:
        One per variable and, last, one for the depths themselves: the target depth at every level that usable
        depths support, with the flags of the depths.

    Raises:
        ValueError: shapes do not agree, or the target depths do not ascend.
    """
    shape = depth.shape
    target = np.ascontiguousarray(target, dtype=np.float64)
    if not (np.isfinite(target).all() and (np.diff(target) > 0).all()):
        raise ValueError(f"target depths must be finite and ascending, got {target}")
    if not len(values) == len(flags) == len(usable) or any(u.shape != shape[:1] for u in usable):
        raise ValueError(f"give flags and usable[{shape[0]}] for each of {len(values)} variables")
    tables = [*([accepted] * len(values)), accepted if depth_accepted is None else depth_accepted]
    if any(table.shape != (256,) for table in tables):
        raise ValueError(f"accepted has one entry per uint8, got shapes {[table.shape for table in tables]}")
    depth = _unwritable(depth, np.float32, shape)
    depth_flags = _unwritable(depth_flags, np.int8, shape)
    out = np.full((len(values) + 1, shape[0], target.size), np.nan, dtype=np.float32)
    out_flags = np.full(out.shape, UNSUPPORTED, dtype=np.int8)
    _align(
        depth,
        depth_flags,
        (*(_unwritable(v, np.float32, shape) for v in values), depth),
        (*(_unwritable(f, np.int8, shape) for f in flags), depth_flags),
        np.stack(tables).astype(np.bool_, copy=False),
        np.stack([*usable, np.ones(shape[0], dtype=np.bool_)]).astype(np.bool_, copy=False),
        target,
        np.maximum(REACH_PART * target, REACH_METRES),
        out,
        out_flags,
    )
    # depth interpolated in depth is the target but for rounding
    out[-1] = np.where(np.isnan(out[-1]), out[-1], target.astype(np.float32))
    return [Aligned(v, f) for v, f in zip(out, out_flags, strict=True)]
