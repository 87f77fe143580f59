"""Running someone's module and leaving everything as it was: the module, its buffers, hooks and
attributes, and the random state."""

from __future__ import annotations

import collections
import contextlib
import copy
import functools
import gc
import io
import operator
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_map

from tracer.record.tensors import NO_TENSOR, flatten, modules_in


def in_mode(model: nn.Module, training: bool) -> nn.Module:
    """The module, in that mode.  What it gives back of its own `train` may be nothing."""
    model.train(training)
    return model


def version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def storage(tensor: Tensor) -> int:
    """Names the memory that views of one tensor share."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (RuntimeError, NotImplementedError):
        return id(tensor)


# Which thread runs a module alone, by address, for a module need not be hashable.
_held: dict[int, int] = {}
_free = threading.Condition()


@contextlib.contextmanager
def exclusive(model: nn.Module) -> Iterator[list[nn.Module]]:
    """One trace at a time for each module, so that traces that share modules cannot see each
    other's hooks and buffers; gives the modules.  All are taken at once: no deadlock."""
    thread = threading.get_ident()
    with _free:
        modules = modules_in(model)
        while _held and any(_held.get(id(each), thread) != thread for each in modules):
            _free.wait()
            modules = modules_in(model)
        taken = [id(each) for each in modules if id(each) not in _held]
        _held.update(dict.fromkeys(taken, thread))
    try:
        yield modules
    finally:
        with _free:
            for each in taken:
                del _held[each]
            _free.notify_all()


_random_guard = threading.Lock()
_random_users = 0
_random_saved = contextlib.ExitStack()


_TRIED: ContextVar[bool] = ContextVar("tried", default=False)


@contextlib.contextmanager
def trying() -> Iterator[None]:
    """Within, code that failed is run again and again to find out why."""
    token = _TRIED.set(True)
    try:
        yield
    finally:
        _TRIED.reset(token)


def is_tried() -> bool:
    """Whether what runs is tried to find out why something failed: what fails in it is not
    explained in its turn."""
    return _TRIED.get()


def random_states() -> Iterator[tuple[Callable[[Any], Any], Any]]:
    """How random numbers go on in this process, each with what sets it so."""
    yield random.setstate, random.getstate()
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:  # torch loads numpy without it: then there is no state
        yield numpy.set_state, numpy.get_state()
    yield torch.set_rng_state, torch.get_rng_state()


@contextlib.contextmanager
def random_state() -> Iterator[None]:
    """The global random state afterwards is what it was before.  Of traces that overlap in several
    threads the first to begin saves it and the last to end puts it back."""
    global _random_users
    with _random_guard:
        if _random_users == 0:
            for put, state in random_states():
                _random_saved.callback(put, state)
            if torch.cuda.is_available():
                _random_saved.enter_context(torch.random.fork_rng())
        _random_users += 1
    try:
        yield
    finally:
        with _random_guard:
            _random_users -= 1
            if _random_users == 0:
                _random_saved.close()


_garbage_guard = threading.Lock()
_garbage_users = 0
_garbage_saved = gc.get_threshold()
_NEVER = 1_000_000_000


@contextlib.contextmanager
def young_garbage() -> Iterator[None]:
    """Python looks for garbage among what is new alone: what is recorded is kept anyway, and of a
    long run each look at everything there is would cost as much as its operations.  Of traces that
    overlap in several threads the first to begin changes this and the last to end puts it back."""
    global _garbage_users, _garbage_saved
    with _garbage_guard:
        if _garbage_users == 0:
            _garbage_saved = gc.get_threshold()
            gc.set_threshold(*_garbage_saved[:2], _NEVER)
        _garbage_users += 1
    try:
        yield
    finally:
        with _garbage_guard:
            _garbage_users -= 1
            if _garbage_users == 0 and gc.get_threshold()[2] == _NEVER:
                gc.set_threshold(*_garbage_saved)


@contextlib.contextmanager
def unobserved() -> Iterator[None]:
    """What runs here is the tracer's own: no function or dispatch mode sees it."""
    with torch._C.DisableTorchFunction(), torch.no_grad():
        if torch._C._len_torch_dispatch_stack():
            with _disable_current_modes():
                yield
        else:
            yield


class _Silent(io.TextIOBase):
    """Swallows what one thread prints and passes on what the others do."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.thread = threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() != self.thread and self.stream is not None:
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        if threading.get_ident() != self.thread and self.stream is not None:
            self.stream.flush()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """A forward that prints has printed once: running it again prints nothing."""
    with (
        contextlib.redirect_stdout(_Silent(sys.stdout)),
        contextlib.redirect_stderr(_Silent(sys.stderr)),
    ):
        yield


class State:
    """What a forward may change in a module, to be put back."""

    HOOKS = frozenset(key for key in nn.Module().__dict__ if "hooks" in key)
    CONTAINERS = frozenset([list, dict, set, collections.deque, collections.OrderedDict])
    USUAL = frozenset(nn.Module().__dict__)
    TABLES = tuple(
        name
        for name, value in nn.Module().__dict__.items()
        if "hooks" not in name and isinstance(value, dict | set)
    )

    def __init__(self, modules: list[nn.Module]) -> None:
        # A lazy module turns into another class in its first forward: that cannot be undone.
        modules = [
            module
            for module in modules
            if not isinstance(module, nn.modules.lazy.LazyModuleMixin | torch.jit.ScriptModule)
        ]
        self.attributes = [(vars(module), vars(module).copy()) for module in modules]
        # A cache that the forward fills, and the tables of parameters, buffers and submodules, are
        # the same object before and after: their content is put back.
        held: list[Any] = []
        for _, attributes in self.attributes:
            held += map(attributes.get, self.TABLES)
            others = [*map(attributes.get, attributes.keys() - self.USUAL)]
            if not self.CONTAINERS.isdisjoint(map(type, others)):
                held += others
        self.contents = [(each, each.copy()) for each in held if type(each) in self.CONTAINERS]
        self.tensors: dict[int, tuple[Tensor, Tensor]] = {}
        self._parameters: list[Tensor | None] = []
        for module in modules:
            self._parameters += module._parameters.values()
            for buffer in module._buffers.values():
                if buffer is not None and not unmade(buffer):
                    self._keep(buffer)

    def _keep(self, tensor: Tensor) -> None:
        if not tensor.is_meta and id(tensor) not in self.tensors:
            self.tensors[id(tensor)] = (tensor, tensor.detach().clone())

    def about_to_write(self, tensor: Tensor) -> None:
        """Copying all parameters would double a model's memory: one is copied when needed."""
        parameter = self._by_memory.get(storage(tensor))
        if parameter is not None:
            self._keep(parameter)

    @functools.cached_property
    def _by_memory(self) -> dict[int, Tensor]:
        """The parameters by their memory, which nothing has written to yet."""
        return {
            storage(parameter): parameter
            for parameter in self._parameters
            if parameter is not None and not parameter.is_meta and not unmade(parameter)
        }

    def restore(self) -> None:
        for own, attributes in self.attributes:
            if not _same_items(own, attributes):
                for key in own.keys() - attributes.keys() - self.HOOKS:
                    del own[key]
                own.update((k, v) for k, v in attributes.items() if k not in self.HOOKS)
        for container, was in self.contents:
            if (was or container) and not _same_items(container, was):
                container.clear()
                (container.extend if hasattr(container, "extend") else container.update)(was)
        # All of them: BatchNorm's kernel writes its running statistics without a new version.
        # Through `data`, so that a graph that waits for its backward is not disturbed.
        for tensor, content in self.tensors.values():
            tensor.data.copy_(content)


def _same_items(container: Any, was: Any) -> bool:
    if len(container) != len(was):
        return False
    if isinstance(was, dict):
        return all(map(operator.is_, container, was)) and all(
            map(operator.is_, container.values(), was.values())
        )
    return all(map(operator.is_, container, was))


def moved(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], device: torch.device
) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    """Copies on `device`; the copy shares no tensor with the original and is made without
    duplicating the original's memory first."""
    with exclusive(model):  # the hooks of another thread's trace are not to be copied
        memo: dict[int, Any] = {}
        for tensor in _own_tensors(model):
            if unmade(tensor):
                memo[id(tensor)] = _unmade_like(tensor, device)
            elif isinstance(tensor, nn.Parameter):
                memo[id(tensor)] = nn.Parameter(
                    tensor.detach().to(device, copy=True), tensor.requires_grad
                )
            else:
                memo[id(tensor)] = tensor.detach().to(device, copy=True)
        copied = _copied(model, memo)
    args, kwargs = tensors_on(device, (args, kwargs))
    return copied, args, kwargs


# --- modules that take their sizes from their first inputs --------------------------------------


def unmade(tensor: Tensor | None) -> bool:
    """Whether it has no size yet: that of a lazy module."""
    return isinstance(tensor, UninitializedTensorMixin)


def is_lazy(model: nn.Module) -> bool:
    """Whether some layer takes its sizes from its first inputs, and has had none."""
    for module in modules_in(model):
        for own in (module._parameters, module._buffers):
            if own and any(map(unmade, own.values())):
                return True
    return False


def with_sizes(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> nn.Module:
    """A copy of a lazy module after its first call, in which its layers have taken their sizes and
    drawn their weights; it shares with the model all tensors that had theirs.  The random state is
    left as it was.  Where that call fails, what has a size by then has it."""
    with exclusive(model):
        memo = {id(each): each for each in _own_tensors(model) if not unmade(each)}
        memo |= {
            id(each): _unmade_like(each, each.device)
            for each in _own_tensors(model)
            if unmade(each)
        }
        copied = _copied(model, memo)
    with exclusive(copied) as modules, random_state(), quiet(), torch.no_grad():
        before = State(modules)
        with contextlib.suppress(Exception):
            copied(*args, **kwargs)
        for tensor, content in before.tensors.values():
            tensor.data.copy_(content)
    return copied


def _copied(model: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """A deep copy.  What is empty, as most tables of most modules are, is not asked how it is
    copied."""
    for module in modules_in(model):
        for value in vars(module).values():
            if type(value) in State.CONTAINERS and not value:
                memo.setdefault(id(value), value.copy())
    return copy.deepcopy(model, memo)


def _own_tensors(model: nn.Module) -> Iterator[Tensor]:
    """Parameters, buffers and tensors that are plain attributes."""
    for module in modules_in(model):
        for tensor in (
            *module._parameters.values(),
            *module._buffers.values(),
            *vars(module).values(),
        ):
            if isinstance(tensor, Tensor):
                yield tensor


def _unmade_like(tensor: Any, device: torch.device) -> Any:
    kind: Any = type(tensor)
    if isinstance(tensor, nn.Parameter):
        return kind(tensor.requires_grad, device=device, dtype=tensor.dtype)
    return kind(device=device, dtype=tensor.dtype)


def tensors_on(device: torch.device, values: Any) -> Any:
    """Nested values with copies of their tensors on `device`.

    Raises:
        ValueError: torch has no such tensor there.
    """

    def there(tensor: Tensor) -> Tensor:
        if device.type == "meta" and tensor.is_nested and tensor.layout == torch.strided:
            raise ValueError(
                "A nested tensor of strided layout has no shape without values: build it with "
                "layout=torch.jagged, or leave device='meta' out."
            )
        return tensor.detach().to(device, copy=True)

    return replaced(values, there)


def replaced(values: Any, make: Callable[[Tensor], Tensor]) -> Any:
    """Nested values with another tensor in the place of each, the same for what is there twice;
    objects that hold tensors are copied, where they can be."""
    made: dict[int, Any] = {}

    def anew(value: Any) -> Any:
        if isinstance(value, Tensor):
            if id(value) not in made:
                made[id(value)] = make(value)
            return made[id(value)]
        if type(value) in NO_TENSOR:
            return value
        within = [each for _, each in flatten(value, objects=True)]
        if not within:
            return value
        for each in within:
            anew(each)
        with contextlib.suppress(Exception):  # it is the user's, and may refuse to be copied
            return copy.deepcopy(value, dict(made))
        return value

    return tree_map(anew, values)
