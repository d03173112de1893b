"""Patches for Lightning: loaders for training, validation and testing, and decoding on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lightning.pytorch import LightningDataModule

from oceanrecon.errors import ConfigError
from oceanrecon.samples.form import SampleForm
from oceanrecon.training.data.dataset import PatchDataset
from oceanrecon.training.data.decode import Decode, Tensors
from oceanrecon.training.data.loader import Context, PatchLoader, make_loader
from oceanrecon.transform.normalise import PUBLISHED, Normalisation


class PatchDataModule(LightningDataModule):
    """Gives a Lightning trainer the dictionaries of ``Decode``, decoded on its device.

    The sides of the split are the data sets that you give: nothing is split here. Only training is shuffled. Under DDP
    each rank gets rows of its own, see ``ShardShuffle``; the trainer's ``use_distributed_sampler`` changes nothing. A
    checkpoint holds the place in the epoch (Lightning keeps the state of a loader that has one), and
    ``trainer.fit(..., ckpt_path=...)`` goes on with the batch that came next.
    """

    def __init__(
        self,
        train: PatchDataset | None = None,
        val: PatchDataset | None = None,
        test: PatchDataset | None = None,
        *,
        batch_size: int = 16,
        workers: int = 2,
        buffer: int = 16,
        seed: int = 0,
        drop_last: bool = False,
        prefetch: int = 2,
        context: Context = "spawn",
        normalisation: Mapping[str, Normalisation] = PUBLISHED,
    ) -> None:
        """Of up to three data sets.

        Args:
            train: rows to learn from.
            val: rows to validate with.
            test: rows to test with.
            batch_size: samples per batch and rank.
            workers: processes that read, for each loader and rank; 0: the trainer's process reads.
            buffer: shards (of an export: dates) whose rows are shuffled together.
            seed: of the order of training.
            drop_last: leave out what does not fill a batch on every rank, in training.
            prefetch: batches that each worker has ready.
            context: how workers start; a script that starts any needs ``if __name__ == "__main__":``.
            normalisation: mean and deviation by quantity.

        Raises:
            ConfigError: there is no data set, or they do not give the same kind of samples.
        """
        super().__init__()
        if val is None:  # Lightning leaves validation out where this is not overridden
            self.val_dataloader = super().val_dataloader  # type: ignore[method-assign]
        self._data = {"train": train, "val": val, "test": test}
        self._decode = Decode(_common_form(self._data), normalisation)
        self._batch_size, self._seed, self._drop_last = batch_size, seed, drop_last
        self._buffer, self._workers, self._prefetch, self._context = buffer, workers, prefetch, context

    def train_dataloader(self) -> PatchLoader:
        """Shuffled batches."""
        return self._loader("train", shuffle=True, drop_last=self._drop_last)

    def val_dataloader(self) -> PatchLoader:
        """Batches in order."""
        return self._loader("val")

    def test_dataloader(self) -> PatchLoader:
        """Batches in order."""
        return self._loader("test")

    def on_after_batch_transfer(self, batch: Tensors, dataloader_idx: int) -> Tensors:
        """Decode where the batch is."""
        decoded: Tensors = self._decode.to(batch["eo"].device)(batch)
        return decoded

    def _loader(self, side: str, *, shuffle: bool = False, drop_last: bool = False) -> PatchLoader:
        dataset = self._data[side]
        if dataset is None:
            raise ConfigError(f"there is no data set for this: give PatchDataModule one as `{side}`")
        rank, world_size = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        return make_loader(
            dataset, self._batch_size, workers=self._workers, shuffle=shuffle, buffer=self._buffer, seed=self._seed,
            drop_last=drop_last, rank=rank, world_size=world_size, prefetch=self._prefetch, context=self._context,
        )  # fmt: skip


def _common_form(data: Mapping[str, PatchDataset | None]) -> SampleForm:
    """The form that decodes all of them: values need no encoding, so one side may have them beside codes."""
    forms = {side: dataset.form for side, dataset in data.items() if dataset is not None}
    if not forms:
        raise ConfigError("PatchDataModule has no data: give `train`, `val` or `test`")
    first, form = next(iter(forms.items()))
    for side, other in forms.items():
        encoding = form.encoding or other.encoding
        if replace(form, encoding=encoding) != replace(other, encoding=other.encoding or encoding):
            raise ConfigError(
                f"`{first}` and `{side}` do not give the same kind of samples: {form} and {other}; give both the same "
                "scenario, surface fields, tile and encoding"
            )
        form = replace(form, encoding=encoding)
    return form
