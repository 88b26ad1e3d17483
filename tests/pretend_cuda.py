"""A GPU that is none: tensors that say `cuda`, compute on the CPU, and refuse what a real one would refuse.

Every tensor that is moved or made with `device="cuda"` inside `pretend_cuda()` holds its numbers in ordinary memory but
says that it lies on the GPU. Operations run on those numbers, so that results can be compared with those of the CPU bit
by bit, and branches on values are taken as they would be; but an operation that mixes devices fails as on a real GPU,
and so does `numpy()`. FakeTensorMode of torch checks the same without numbers, and so stops at the first branch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

aten = torch.ops.aten
COPIES = {aten._to_copy.default, aten.copy_.default, aten.lift_fresh.default}
"""Operations that may read one device and write another."""
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
"""Operations of a GPU tensor that take indices from the CPU."""
AT_ONCE = {aten._conj.default: aten._conj_physical.default, aten._neg_view.default: aten.neg.default}
"""What torch only notes down on a tensor, and would forget where it meets one of ours."""


class OnGpu(Tensor):
    """A tensor that says `cuda:0`."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> OnGpu:
        """Wrap numbers that lie in ordinary memory."""
        made = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            layout=inner.layout, device="cpu", requires_grad=False,
        )  # fmt: skip
        made.inner = inner
        return made

    @property
    def device(self) -> torch.device:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where it pretends to be; torch itself sees ordinary memory, which needs no driver."""
        return torch.device("cuda:0")

    def __repr__(self, **_: Any) -> str:
        return f"OnGpu({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run on the CPU what would run on the GPU."""
        kwargs = kwargs or {}
        flat, _ = tree_flatten((args, kwargs))
        _refuse_mixture(func, args, [one for one in flat if isinstance(one, Tensor)])
        OPERATIONS.hear(flat)
        owners = {id(one.inner): one for one in flat if isinstance(one, OnGpu)}
        target = kwargs.get("device")
        inside = {**kwargs, "device": torch.device("cpu")} if target is not None else kwargs
        found = AT_ONCE.get(func, func)(*tree_map(_inner, args), **tree_map(_inner, inside))
        stays = target is None or torch.device(target).type == "cuda"
        if func is aten.copy_.default and not isinstance(args[0], OnGpu):
            stays = False
        return tree_map(lambda one: _outer(one, owners, stays), found)


class _Operations:
    """Who is told of every operation: a test that wants to run out of memory, say."""

    hear: Callable[[list[Any]], None] = staticmethod(lambda tensors: None)


OPERATIONS = _Operations()


def _inner(one: Any) -> Any:
    return one.inner if isinstance(one, OnGpu) else one


def _outer(one: Any, owners: dict[int, OnGpu], stays: bool) -> Any:
    if not isinstance(one, Tensor) or isinstance(one, OnGpu):
        return one
    owner = owners.get(id(one))
    return owner if owner is not None else OnGpu(one) if stays else one


def _refuse_mixture(func: Any, args: Any, tensors: list[Tensor]) -> None:
    if func in COPIES:
        return
    if func in INDEXED and isinstance(args[0], OnGpu):
        tensors = [args[0], *(args[2:3] if len(args) > 2 and isinstance(args[2], Tensor) else ())]
    strange = [one for one in tensors if not isinstance(one, OnGpu) and one.dim()]
    if strange:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but {func} met {tuple(strange[0].shape)} on the CPU"
        )


def _is_gpu(place: Any) -> bool:
    return place is not None and not isinstance(place, int | torch.dtype) and str(place).startswith("cuda")


def _numpy(one: OnGpu, force: bool = False) -> Any:
    if not force:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
    return one.inner.numpy().copy()


LEAVING: dict[str, Callable[..., Any]] = {
    "tolist": lambda one: one.inner.tolist(),
    "cpu": lambda one: one.inner.clone(),
    "numpy": _numpy,
    "__array__": _numpy,
}
"""How numbers leave the GPU."""


class _Mode(TorchFunctionMode):
    """Makes tensors on the pretended GPU, before torch looks for a real one."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name == "new_tensor" and isinstance(args[0], OnGpu):
            return OnGpu(torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype)))
        if name == "_has_compatible_shallow_copy_type":  # a network's parameters are made anew where they move to
            return False
        if name in LEAVING and isinstance(args[0], OnGpu):
            return LEAVING[name](args[0], **kwargs)
        if name in ("to", "cuda") and isinstance(args[0], Tensor):
            return self._moved(func, name, args, kwargs)
        if _is_gpu(kwargs.get("device")):
            found = func(*args, **{**kwargs, "device": "cpu"})
            return found if isinstance(found, OnGpu) else OnGpu(found)
        return func(*args, **kwargs)

    def _moved(self, func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        first, *rest = args
        if rest and isinstance(rest[0], OnGpu):
            rest = ["cuda:0", rest[0].dtype]
        elif rest and isinstance(rest[0], Tensor):
            rest = ["cpu", rest[0].dtype]
        place = kwargs.get("device", rest[0] if rest and isinstance(rest[0], str | torch.device) else None)
        if isinstance(first, OnGpu) and place is not None and not _is_gpu(place):
            more = [one for one in rest if isinstance(one, torch.dtype)]
            return first.inner.clone().to(*more) if more else first.inner.clone()
        if name == "to" and not _is_gpu(place):
            return func(*args, **kwargs)
        rest = [one for one in rest if isinstance(one, torch.dtype)]
        kwargs = {key: value for key, value in kwargs.items() if key != "device"}
        inner = first.inner if isinstance(first, OnGpu) else first.detach().clone()
        found = inner.to(*rest, **kwargs) if rest or kwargs else inner
        return first if isinstance(first, OnGpu) and found is inner else OnGpu(found)


@contextmanager
def pretend_cuda(hear: Callable[[list[Any]], None] | None = None) -> Iterator[None]:
    """A GPU inside the block; `hear` is called with the arguments of each of its operations."""
    OPERATIONS.hear = hear or _Operations.hear
    try:
        with _Mode():
            yield
    finally:
        OPERATIONS.hear = _Operations.hear
