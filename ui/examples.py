"""Modules to begin with: twelve of torch that run, and twelve broken models, one cause each, as it
is met in real code."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.worker import Job
from ui.language import say

_HEADER = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\n"


@dataclass(frozen=True)
class Example:
    """A module and how to run it. `tells` says what there is to see, and of a broken one does not
    give the answer away."""

    key: str
    title: str
    tells: str
    job: Job


def working() -> tuple[Example, ...]:
    """Classes of torch.nn, in the reader's language, simple ones first."""
    tells = {
        "Linear": say("Only the last size changes; all before it are handed on."),
        "Conv2d": say("A window of 4 × 4 without padding: each side loses 3."),
        "ConvTranspose2d": say("The way back: a map that grows."),
        "AdaptiveAvgPool2d": say(
            "Whatever comes in, the map that comes out has the size asked for."
        ),
        "LayerNorm": say("Normalised over the last size alone."),
        "GroupNorm": say("Channels in groups, normalised with all that lies behind them."),
        "Embedding": say("Numbers of words become vectors: one more dimension."),
        "EmbeddingBag": say("The vectors of a bag of words, reduced to one."),
        "LSTM": say("A sequence, and the two states that are left at its end."),
        "MultiheadAttention": say(
            "Queries, keys and values: two results, and the batch stands second."
        ),
        "TransformerEncoderLayer": say(
            "Attention and a feed-forward network, each with a way around."
        ),
        "TransformerDecoderLayer": say(
            "Two attentions: of the sequence to itself, and to the memory."
        ),
    }
    arguments = {
        "Conv2d": {"kernel_size": "4"},
        "AdaptiveAvgPool2d": {"output_size": "(5, 7)"},
    }
    return tuple(
        Example(name, f"nn.{name}", told, Job("", f"torch.nn.{name}", arguments.get(name, {})))
        for name, told in tells.items()
    )


def examples() -> tuple[Example, ...]:
    """Broken models in the reader's language, simple causes first."""
    texts = {
        "flatten": (
            say("A larger photo"),
            say("A classifier written for 32 × 32 images is given 48 × 48 ones."),
        ),
        "scores": (
            say("Scores of attention"),
            say("Queries meet keys, and one of the two lies the wrong way round."),
        ),
        "shortcut": (
            say("A residual that shrinks"),
            say("The block halves its map; what is added to it does not."),
        ),
        "columns": (
            say("Frames from a game"),
            say("Height, width, channels: the order in which the environment gives them."),
        ),
        "skip": (
            say("U-Net on an odd size"),
            say("Halved and doubled again, 45 is not 45 any more."),
        ),
        "norm": (
            say("Three modules deep"),
            say("A normalisation inside a `Sequential` inside a block inside a network."),
        ),
        "heads": (
            say("Heads put together again"),
            say("The sizes are right and `view` refuses all the same."),
        ),
        "squeeze": (
            say("A batch of one"),
            say("It works in training, and fails on the first single request."),
        ),
        "hidden": (
            say("A decoder's first state"),
            say("What the encoder hands on has a dimension too few."),
        ),
        "loss": (
            say("A loss over a sequence"),
            say("One class for each token, and the classes stand in the last place."),
        ),
        "embedding": (
            say("Tokens that are floats"),
            say("No size is wrong here: the type is."),
        ),
        "silent": (
            say("It runs, and learns nothing"),
            say("No error at all: the loss compares every prediction with every target."),
        ),
    }
    return tuple(Example(key, *texts[key], job) for key, job in _JOBS.items())


_JOBS = {
    "flatten": Job(
        _HEADER
        + '''\
class CifarNet(nn.Module):
    """Two convolutions and a classifier, after the well-known tutorial."""

    def __init__(self, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, classes)

    def forward(self, images):
        x = F.max_pool2d(F.relu(self.conv1(images)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        return self.fc2(x)
''',
        "CifarNet",
        inputs=("B,3,48,48",),
        sizes={"B": 8},
    ),
    "scores": Job(
        _HEADER
        + """\
class SingleHead(nn.Module):
    def __init__(self, width=48, inner=32):
        super().__init__()
        self.query = nn.Linear(width, inner)
        self.key = nn.Linear(width, inner)
        self.value = nn.Linear(width, inner)
        self.scale = inner**-0.5

    def forward(self, tokens):
        q = self.query(tokens)
        k = self.key(tokens)
        v = self.value(tokens)
        scores = torch.matmul(q, k) * self.scale
        weights = scores.softmax(dim=-1)
        return torch.matmul(weights, v)
""",
        "SingleHead",
        inputs=("B,T,48",),
        sizes={"B": 2, "T": 10},
    ),
    "shortcut": Job(
        _HEADER
        + """\
class Block(nn.Module):
    def __init__(self, width, out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)

    def forward(self, x):
        identity = x
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return F.relu(out)


class TinyResNet(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.layers = nn.Sequential(Block(16, 16), Block(16, 16, stride=2))
        self.head = nn.Linear(16, classes)

    def forward(self, images):
        x = self.layers(self.stem(images))
        return self.head(x.mean(dim=(2, 3)))
""",
        "TinyResNet",
        inputs=("B,3,H,W",),
        sizes={"B": 2, "H": 32, "W": 32},
    ),
    "columns": Job(
        _HEADER
        + '''\
class Encoder(nn.Module):
    """Frames of a game to a vector."""

    def __init__(self, width=64):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(3, 16, 8, stride=4),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2),
            nn.ReLU(),
        )
        self.out = nn.Linear(32, width)

    def forward(self, frames):
        # frames: as the environment returns them
        maps = self.conv(frames.float() / 255)
        return self.out(maps.amax(dim=(2, 3)))
''',
        "Encoder",
        inputs=("B,84,84,3:uint8<256",),
        sizes={"B": 4},
    ),
    "skip": Job(
        _HEADER
        + """\
def double_conv(inner, outer):
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(outer, outer, 3, padding=1),
        nn.ReLU(),
    )


class SmallUNet(nn.Module):
    def __init__(self, classes=2):
        super().__init__()
        self.down1 = double_conv(1, 8)
        self.down2 = double_conv(8, 16)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.merge = double_conv(16, 8)
        self.out = nn.Conv2d(8, classes, 1)

    def forward(self, scan):
        fine = self.down1(scan)
        coarse = self.down2(F.max_pool2d(fine, 2))
        up = self.up(coarse)
        x = self.merge(torch.cat([fine, up], dim=1))
        return self.out(x)
""",
        "SmallUNet",
        inputs=("B,1,45,60",),
        sizes={"B": 2},
    ),
    "norm": Job(
        _HEADER
        + """\
class Attention(nn.Module):
    def __init__(self, channels, ratio=4):
        super().__init__()
        inner = channels // ratio
        self.squeeze = nn.Sequential(
            nn.Conv2d(channels, inner, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(inner, channels, 1),
        )

    def forward(self, x):
        gate = self.squeeze(x.mean(dim=(2, 3), keepdim=True))
        return x * gate.sigmoid()


class Stage(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.conv = nn.Conv2d(inner, outer, 3, padding=1)
        self.attention = Attention(outer)

    def forward(self, x):
        return self.attention(F.relu(self.conv(x)))


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(Stage(3, 16), nn.MaxPool2d(2), Stage(16, 32))

    def forward(self, images):
        return self.stages(images)
""",
        "Backbone",
        inputs=("B,3,H,W",),
        sizes={"B": 2, "H": 24, "W": 24},
    ),
    "heads": Job(
        _HEADER
        + """\
class MultiHead(nn.Module):
    def __init__(self, width=64, heads=4):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5).softmax(-1)
        y = (weights @ v).transpose(1, 2)
        y = y.view(batch, tokens, width)
        return self.out(y)
""",
        "MultiHead",
        inputs=("B,T,64",),
        sizes={"B": 2, "T": 9},
    ),
    "squeeze": Job(
        _HEADER
        + '''\
class Tagger(nn.Module):
    """Pools a clip over time and names its scene."""

    def __init__(self, bands=40, scenes=8):
        super().__init__()
        self.conv = nn.Conv1d(bands, 32, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.norm = nn.BatchNorm1d(32)
        self.head = nn.Linear(32, scenes)

    def forward(self, clip):
        x = F.relu(self.conv(clip))
        x = self.pool(x).squeeze()
        x = self.norm(x)
        return self.head(x)
''',
        "Tagger",
        inputs=("1,40,T",),
        sizes={"T": 100},
    ),
    "hidden": Job(
        _HEADER
        + '''\
class Captioner(nn.Module):
    """Starts a recurrent decoder from the vector of an image."""

    def __init__(self, words=100, width=32, image=64):
        super().__init__()
        self.start = nn.Linear(image, width)
        self.embed = nn.Embedding(words, width)
        self.rnn = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, words)

    def forward(self, features, words):
        state = torch.tanh(self.start(features))
        out, _ = self.rnn(self.embed(words), state)
        return self.head(out)
''',
        "Captioner",
        inputs=("B,64", "B,T:int64<100"),
        sizes={"B": 4, "T": 7},
    ),
    "loss": Job(
        _HEADER
        + """\
class LanguageModel(nn.Module):
    def __init__(self, words=50, width=24):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.mix = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, words)

    def forward(self, tokens, targets):
        h, _ = self.mix(self.embed(tokens))
        logits = self.head(h)
        return F.cross_entropy(logits, targets)
""",
        "LanguageModel",
        inputs=("B,T:int64<50", "B,T:int64<50"),
        sizes={"B": 4, "T": 12},
    ),
    "embedding": Job(
        _HEADER
        + """\
class Sentiment(nn.Module):
    def __init__(self, words=200, width=16):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.head = nn.Linear(width, 2)

    def forward(self, review):
        words = self.embed(review)
        return self.head(words.mean(dim=1))
""",
        "Sentiment",
        inputs=("B,T:float32",),
        sizes={"B": 3, "T": 20},
    ),
    "silent": Job(
        _HEADER
        + '''\
class Price(nn.Module):
    """Regression with its loss inside."""

    def __init__(self, features=12):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x, price):
        predicted = self.body(x)
        return ((predicted - price) ** 2).mean()
''',
        "Price",
        inputs=("B,12", "B"),
        sizes={"B": 16},
    ),
}
