"""Trains the small weights that the lessons of `hacnn.py` show, on drawn pictures.

    python -m modules.train_hacnn

writes `modules/hacnn.json` in about forty seconds on one core.  Nothing but `scene` is learned
from, so the weights show how the modules work, not how good they are.

- `spatial`: SpatialAttn on the photo.  Its map is to be high on both horses.
- `harmonious`: HarmAttn on the photo lifted to 16 channels.  Its pixels are to be kept on both
  horses, its four regions to lie on the sun, the far horse, the near horse and its legs.
"""

from __future__ import annotations

import json

import torch
from torch import Tensor
from torch.nn import functional as F

from modules.hacnn import TRAINED, HarmAttn, SpatialAttn, seen
from modules.inputs import BROWN, GREY, SUN, scene
from modules.lesson import with_fixed_weights

H, W, B = 256, 128, 6
ROUNDS = 150
FIRST_SEED = 1000
"""Not among the seeds that a page offers first."""


def near(photo: Tensor, colour: tuple[float, float, float]) -> Tensor:
    """Where the photo has the colour: (B, 1, H, W), 0 or 1."""
    apart = photo - torch.tensor(colour).view(1, 3, 1, 1)
    return (apart.abs().amax(dim=1, keepdim=True) < 0.06).float()


def centre(mask: Tensor) -> Tensor:
    """The mask's centre of mass as (x, y) from -1 to 1: (B, 2)."""
    x = torch.linspace(-1, 1, mask.shape[3])
    y = torch.linspace(-1, 1, mask.shape[2]).unsqueeze(1)
    total = mask.sum(dim=(1, 2, 3)).clamp_min(1)
    return torch.stack(
        [(mask * x).sum(dim=(1, 2, 3)) / total, (mask * y).sum(dim=(1, 2, 3)) / total], dim=1
    )


def centres(photo: Tensor) -> Tensor:
    """Where the four regions should lie: (B, 4, 2)."""
    brown = near(photo, BROWN)
    legs = brown.clone()
    legs[:, :, : round(0.7 * H)] = 0
    parts = [near(photo, SUN), near(photo, GREY), brown, legs]
    return torch.stack([centre(part) for part in parts], dim=1)


def horses(photo: Tensor) -> Tensor:
    return near(photo, BROWN) + near(photo, GREY)


def learn_spatial() -> SpatialAttn:
    model = SpatialAttn().train()
    with torch.no_grad():
        # A ReLU that starts on its dead side would never learn: the horses are dark, so begin
        # with a filter that likes the dark.
        model.conv1.conv.weight.fill_(-0.1)
        model.conv2.conv.weight.fill_(1.0)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(ROUNDS):
        photo = scene(H, W, B, FIRST_SEED + step)
        loss = F.mse_loss(model(photo), horses(photo))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    print(f"spatial: squared error {loss.item():.4f}")
    return model


def learn_harmonious() -> HarmAttn:
    model = HarmAttn(16).train()
    with torch.no_grad():
        model.soft_attn.spatial_attn.conv1.conv.weight.fill_(0.1)
        model.soft_attn.spatial_attn.conv2.conv.weight.fill_(1.0)
        for block in (model.soft_attn.channel_attn.conv1, model.soft_attn.channel_attn.conv2):
            block.bn.bias.fill_(1.0)
        model.soft_attn.conv.conv.weight.abs_()
    optimiser = torch.optim.Adam(model.soft_attn.parameters(), lr=0.02)
    means, wanted = [], []
    for step in range(ROUNDS):
        photo = scene(H, W, B, FIRST_SEED + step)
        x = seen("picture", (B, 16, H, W), FIRST_SEED + step)
        soft = model.soft_attn(x)
        # Soft attention knows values from 0.5 to 1 only.
        pixels = F.mse_loss(2 * soft - 1, horses(photo).expand_as(soft))
        optimiser.zero_grad()
        pixels.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        means.append(x.mean(dim=(2, 3), keepdim=True))
        wanted.append(centres(photo))
    # Hard attention reads nothing but each channel's mean: it learns from maps of one pixel.
    p, places = torch.cat(means), torch.cat(wanted)
    optimiser = torch.optim.Adam(model.hard_attn.parameters(), lr=0.05)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 6000)
    for _ in range(6000):
        loss = F.mse_loss(model.hard_attn(p), places)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        slower.step()
    print(f"harmonious: squared error of pixels {pixels.item():.4f}, of centres {loss.item():.4f}")
    return model


def main() -> None:
    learned = {
        "spatial": with_fixed_weights(learn_spatial),
        "harmonious": with_fixed_weights(learn_harmonious),
    }
    rounded = {
        name: {
            key: [round(number, 6) for number in value.flatten().tolist()]
            for key, value in model.state_dict().items()
            if value.is_floating_point()
        }
        for name, model in learned.items()
    }
    TRAINED.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
