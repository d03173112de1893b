"""Samples of a source as a torch data set: the contract's dictionary one by one, code form for whole batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from oceanrecon.errors import OceanreconError
from oceanrecon.samples.form import Batch, Sample, SampleForm, Source, collate
from oceanrecon.samples.rows import Rows
from oceanrecon.training.data.decode import Decode, to_tensors

#: Epoch and row; the epoch is for augmentation alone.
Place = tuple[int, int]
#: Makes another sample of a sample of that form in that epoch: ``samples.augment.Augment``. Where it has a method
#: ``check``, that is asked first whether it can be done to samples of a form.
Augmentation = Callable[[Sample, SampleForm, int], Sample]
#: What a table says of a row.
Described = Callable[[int], dict[str, Any]]
#: Stands for a number that there is not, in ``info``: a ``None`` is nothing that torch collates.
NONE = -1


class PatchDataset(Dataset[dict[str, Any]]):
    """Samples of any source.

    ``patches[row]`` is the dictionary of ``Decode`` for one sample, without the dimension of the batch; ``date``,
    ``row`` and ``patch_id`` are Python integers, and with ``return_info`` there is a dictionary ``info``.
    ``patches[epoch, row]`` is the same with the augmentation of that epoch; a plain row is that of epoch 0. Several
    rows at once (``__getitems__``, which a torch ``DataLoader`` uses) are read together.

    Training loops take ``make_loader`` or ``PatchDataModule`` instead: what they load is in code form (``codes``), a
    tenth of the bytes, which ``Decode`` turns into the same dictionary on the device.
    """

    def __init__(
        self,
        source: Source,
        *,
        augment: Augmentation | None = None,
        return_info: bool = False,
        described: Described | None = None,
        profiles: bool = True,
    ) -> None:
        """Of a source.

        Args:
            source: where samples come from.
            augment: what is done to each sample, such as ``samples.augment.Augment``.
            return_info: add ``info``, a dictionary of what else is known of a sample.
            described: what a table says of a row, for ``info``.
            profiles: whether samples of this source have any that were measured, for ``info``.

        Raises:
            ConfigError: the augmentation cannot be done to these samples.
        """
        check: Callable[[SampleForm], None] | None = getattr(augment, "check", None)
        if check is not None:  # now, and not in a worker
            check(source.form)
        self.source = source
        self._augment = augment
        self._return_info = return_info
        self._described = described
        self._measured = "argo" if profiles else "none"
        self._decode = Decode(source.form)
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_process"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._process = os.getpid()

    @property
    def form(self) -> SampleForm:
        """What all samples have in common: what ``Decode`` is made with."""
        return self.source.form

    @property
    def rows(self) -> Rows:
        """Which patches at which dates."""
        return self.source.rows

    @property
    def shards(self) -> NDArray[Any]:
        """A number per row, the same for rows that are read from the same files: [row]."""
        return self.rows.date

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: SupportsIndex | Place) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[SupportsIndex | Place]) -> list[dict[str, Any]]:
        """Decoded samples of some rows, which are read together."""
        return [self._decoded(sample) for sample in self.samples(indices)]

    def samples(self, indices: Sequence[SupportsIndex | Place]) -> list[Sample]:
        """Samples of some rows, read together and augmented, as they are stored.

        Raises:
            IndexError: there is no such row.
            OceanreconError: a file is not there or damaged, or this process is a fork of the one that opened the data.
        """
        self._check_process()
        places = [self._place(index) for index in indices]
        found = self.source.samples([row for _, row in places])
        if self._augment is None:
            return found
        return [self._augment(sample, self.form, epoch) for sample, (epoch, _) in zip(found, places, strict=True)]

    def codes(
        self,
        indices: Sequence[SupportsIndex | Place],
        empty: Callable[[tuple[int, ...], Any], NDArray[Any]] = np.empty,
    ) -> Batch:
        """A batch in code form, which travels to the device; ``empty`` as of ``samples.form.collate``."""
        return collate(self.samples(indices), self.form.fields, empty)

    def _place(self, index: SupportsIndex | Place) -> Place:
        epoch, row = index if isinstance(index, tuple) else (0, index)
        number, size = int(row.__index__()), len(self)
        if not -size <= number < size:
            raise IndexError(f"row {number} of {size}")
        return epoch, number % size

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise OceanreconError(
                f"this data set was opened in process {self._process} and is used in process {os.getpid()}, a fork of "
                "it: open files, GDAL's locks and the threads of fsspec do not survive a fork, and reading would hang "
                "sooner or later. Give the DataLoader multiprocessing_context='spawn' (or 'forkserver'), or use "
                "make_loader or PatchDataModule of oceanrecon.training.data, which do"
            )

    def _decoded(self, sample: Sample) -> dict[str, Any]:
        batch = self._decode(to_tensors(collate([sample], self.form.fields)))
        decoded = {name: values[0] for name, values in batch.items()}
        decoded |= {name: int(decoded[name]) for name in ("date", "row", "patch_id")}
        if self._return_info:
            decoded["info"] = self._info(sample)
        return decoded

    def _info(self, sample: Sample) -> dict[str, Any]:
        """What is known of a sample: of it, of its row, and what the published loader says of all."""
        table = {} if self._described is None else self._described(sample.row)
        simulated = "observed" in sample.info.get("augmented", {})
        return {
            **table,
            "row": sample.row,
            "patch_id": sample.patch_id,
            "date": sample.date,
            "target_kind": "glorys",
            "x_source": "simulated" if simulated else self._measured,
            "bathymetry_reference_date": NONE,  # of a target that is made of surface fields, which there is not here
            **sample.info,
        }
