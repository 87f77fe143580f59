"""Types, devices, missing or extra batch axes, and calls with the wrong things."""

from __future__ import annotations

from tests.broken.case import Case

CASES = (
    Case(
        name="one_image_without_a_batch",
        source="""
        class Net(nn.Module):
            def __init__(self):
                super(Net, self).__init__()
                self.conv1 = nn.Conv2d(3, 6, 5)
                self.pool = nn.MaxPool2d(2, 2)
                self.fc1 = nn.Linear(6 * 14 * 14, 10)

            def forward(self, x):
                x = self.pool(F.relu(self.conv1(x)))
                x = torch.flatten(x, 1)
                return self.fc1(x)
        """,
        inputs="torch.randn(3, 32, 32)",
        expression="self.fc1(x)",
        operands=("x: 6, 196*", "fc1.weight: 10, 1176*"),
        module="fc1",
        root=(("input", ""), ("step", "x = torch.flatten(x, 1)")),
        fixed=({"self.pool(F.relu(self.conv1(x)))": "self.pool(F.relu(self.conv1(x[None])))"},),
        tempting=(
            {"nn.Linear(6 * 14 * 14, 10)": "nn.Linear(196, 10)"},
            {"torch.flatten(x, 1)": "torch.flatten(x)"},
        ),
    ),
    Case(
        name="one_image_into_an_exporter",
        source="""
        class Preprocess(nn.Module):
            def forward(self, x):
                return x.permute(0, 3, 1, 2) / 255.0


        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.pre = Preprocess()
                self.conv = nn.Conv2d(3, 4, 3)

            def forward(self, x):
                return self.conv(self.pre(x))
        """,
        model="Model()",
        inputs="torch.randint(0, 255, (12, 12, 3)).float()",
        expression="x.permute(0, 3, 1, 2)",
        operands=("x: 12, 12, 3",),
        module="pre",
        root=(("input", ""), ("call", "return self.conv(self.pre(x))")),
        fixed=(
            {"x.permute(0, 3, 1, 2)": "x.unsqueeze(0).permute(0, 3, 1, 2)"},
            {"x.permute(0, 3, 1, 2)": "x.permute(2, 0, 1)"},
        ),
    ),
    Case(
        name="an_axis_too_many",
        source="""
        class SmallCNN(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 4, 3)
                self.fc = nn.Linear(4, 2)

            def forward(self, x):
                x = F.relu(self.conv(x))
                return self.fc(x.mean(dim=(-2, -1)))
        """,
        model="SmallCNN()",
        inputs="torch.randn(B, 1, 3, 10, 10)",
        expression="self.conv(x)",
        operands=("x: 4, 1, 3, 10, 10", "conv.weight: 4, 3, 3, 3"),
        module="conv",
        root=(("input", ""),),
        fixed=({"self.conv(x)": "self.conv(x.squeeze(1))"},),
    ),
    Case(
        name="doubles_from_numpy",
        source="""
        class Regressor(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

            def forward(self, x):
                return self.net(x)
        """,
        model="Regressor()",
        inputs="torch.randn(B, 4, dtype=torch.float64)",
        expression="self.net(x)",
        operands=("x: 4, 4", "net.0.weight: 8, 4"),
        module="net.0",
        root=(("input", ""),),
        fixed=({"self.net(x)": "self.net(x.float())"},),
    ),
    Case(
        name="images_of_bytes",
        source="""
        class Features(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv1 = nn.Conv2d(3, 4, 3)

            def forward(self, img):
                return F.relu(self.conv1(img)).mean(dim=(2, 3))
        """,
        model="Features()",
        inputs="torch.randint(0, 255, (B, 3, 8, 8), dtype=torch.uint8)",
        expression="self.conv1(img)",
        operands=("img: 4, 3, 8, 8", "conv1.weight: 4, 3, 3, 3"),
        module="conv1",
        root=(("input", ""),),
        fixed=(
            {"self.conv1(img)": "self.conv1(img.float())"},
            {"self.conv1(img)": "self.conv1(img.float() / 255)"},
        ),
    ),
    Case(
        name="half_scores_and_full_values",
        source="""
        class Attention(nn.Module):
            def __init__(self, dim=8):
                super().__init__()
                self.q = nn.Linear(dim, dim)
                self.k = nn.Linear(dim, dim)
                self.v = nn.Linear(dim, dim)

            def forward(self, x):
                q, k, v = self.q(x).half(), self.k(x).half(), self.v(x)
                attn = torch.softmax(q @ k.transpose(1, 2), dim=-1)
                return attn @ v
        """,
        model="Attention()",
        inputs="torch.randn(B, 5, 8)",
        expression="attn @ v",
        operands=("attn: 4, 5, 5", "v: 4, 5, 8"),
        root=(
            ("step", "q, k, v = self.q(x).half(), self.k(x).half(), self.v(x)"),
            ("step", "attn = torch.softmax(q @ k.transpose(1, 2), dim=-1)"),
        ),
        fixed=(
            {"attn @ v": "attn.float() @ v"},
            {"attn @ v": "attn @ v.half()"},
            {"self.q(x).half(), self.k(x).half()": "self.q(x), self.k(x)"},
        ),
    ),
    Case(
        name="mask_of_numbers",
        source="""
        class Pool(nn.Module):
            def __init__(self):
                super().__init__()
                self.score = nn.Linear(6, 1)

            def forward(self, x, pad):
                # pad: 1 where a token is padding
                s = self.score(x).squeeze(-1)
                s = s.masked_fill(pad, float("-inf"))
                return (s.softmax(-1).unsqueeze(-1) * x).sum(1)
        """,
        model="Pool()",
        inputs="torch.randn(B, 5, 6), (torch.arange(5) > torch.randint(1, 5, (B, 1))).long()",
        expression='s.masked_fill(pad, float("-inf"))',
        operands=("s: 4, 5", "pad: 4, 5"),
        root=(("input", ""),),
        fixed=({"masked_fill(pad,": "masked_fill(pad.bool(),"},),
        tempting=({"masked_fill(pad,": "masked_fill(pad == 0,"},),
    ),
    Case(
        name="table_left_on_another_device",
        source="""
        class Fourier(nn.Module):
            def __init__(self, n=4):
                super().__init__()
                self.freqs = torch.arange(n, dtype=torch.float32, device="meta")

            def forward(self, t):
                return torch.sin(t[:, None] * self.freqs)


        class TimeNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.encode = Fourier()
                self.fc = nn.Linear(4, 3)

            def forward(self, t):
                return self.fc(self.encode(t))
        """,
        model="TimeNet()",
        inputs="torch.rand(B)",
        expression="t[:, None] * self.freqs",
        operands=("t[:, None]: 4, 1", "self.freqs: 4"),
        module="encode",
        root=(("constructor", 'self.freqs = torch.arange(n, dtype=torch.float32, device="meta")'),),
        fixed=({', device="meta")': ")"},),
    ),
    Case(
        name="forward_without_its_second_input",
        source="""
        class Decoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.up = nn.ConvTranspose2d(8, 4, 2, 2)
                self.conv = nn.Conv2d(8, 4, 3, padding=1)

            def forward(self, x, skip):
                return self.conv(torch.cat([self.up(x), skip], dim=1))


        class UNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.enc1 = nn.Conv2d(1, 4, 3, padding=1)
                self.enc2 = nn.Conv2d(4, 8, 3, padding=1)
                self.dec = Decoder()

            def forward(self, x):
                skip = self.enc1(x)
                x = self.enc2(F.max_pool2d(skip, 2))
                return self.dec(x)
        """,
        model="UNet()",
        inputs="torch.randn(B, 1, 8, 8)",
        expression="self.dec(x)",
        operands=("x: 4, 8, 4, 4",),
        module="dec",
        fixed=({"self.dec(x)": "self.dec(x, skip)"},),
    ),
    Case(
        name="pair_where_a_tensor_was_meant",
        source="""
        class Block(nn.Module):
            def __init__(self, dim):
                super().__init__()
                self.attn = nn.MultiheadAttention(dim, 2, batch_first=True)
                self.norm = nn.LayerNorm(dim)

            def forward(self, x):
                y, weights = self.attn(x, x, x)
                return self.norm(x + y), weights


        class Encoder(nn.Module):
            def __init__(self, dim=8, depth=2):
                super().__init__()
                self.blocks = nn.ModuleList([Block(dim) for _ in range(depth)])
                self.head = nn.Linear(dim, 3)

            def forward(self, x):
                for block in self.blocks:
                    x = block(x)
                return self.head(x[:, 0])
        """,
        model="Encoder()",
        inputs="torch.randn(B, 5, 8)",
        expression="self.attn(x, x, x)",
        operands=(),
        module="blocks.1.attn",
        root=(
            ("step", "x = block(x)"),
            ("call", "x = block(x)"),
            ("step", "return self.norm(x + y), weights"),
        ),
        fixed=({"x = block(x)": "x, _ = block(x)"},),
    ),
    Case(
        name="block_that_returns_nothing",
        source="""
        class Stem(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 4, 3)

            def forward(self, x):
                x = F.relu(self.conv(x))
                x = F.max_pool2d(x, 2)


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.stem = Stem()
                self.conv2 = nn.Conv2d(4, 8, 3)

            def forward(self, x):
                x = self.stem(x)
                return self.conv2(x)
        """,
        inputs="torch.randn(B, 3, 12, 12)",
        expression="self.conv2(x)",
        operands=(),
        module="conv2",
        root=(
            ("step", "x = self.stem(x)"),
            ("call", "x = self.stem(x)"),
            ("step", "x = F.max_pool2d(x, 2)"),
        ),
        fixed=({"x = F.max_pool2d(x, 2)": "x = F.max_pool2d(x, 2)\n        return x"},),
    ),
    Case(
        name="true_division_in_a_shape",
        source="""
        class Split(nn.Module):
            def __init__(self, groups=2):
                super().__init__()
                self.groups = groups

            def forward(self, x):
                b, c, t = x.shape
                return x.view(b, self.groups, c / self.groups, t).mean(1)


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv1d(3, 8, 3)
                self.split = Split()

            def forward(self, x):
                return self.split(self.conv(x))
        """,
        inputs="torch.randn(B, 3, 10)",
        expression="x.view(b, self.groups, c / self.groups, t)",
        operands=("x: 4, 8, 8",),
        module="split",
        fixed=({"c / self.groups": "c // self.groups"},),
    ),
    Case(
        name="list_of_inputs_as_one",
        source="""
        class Fusion(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(10, 4)

            def forward(self, views):
                return self.fc(views)
        """,
        model="Fusion()",
        inputs="[torch.randn(B, 4), torch.randn(B, 6)]",
        expression="self.fc(views)",
        operands=("views[0]: 4, 4", "views[1]: 4, 6"),
        module="fc",
        root=(("input", ""),),
        fixed=({"self.fc(views)": "self.fc(torch.cat(views, dim=1))"},),
        tempting=({"self.fc(views)": "self.fc(F.pad(views[0], (0, 6)))"},),
    ),
    Case(
        name="complex_spectrum_into_a_linear_layer",
        source="""
        class SpectralNet(nn.Module):
            def __init__(self, n=16):
                super().__init__()
                self.fc = nn.Linear(n // 2 + 1, 3)

            def forward(self, signal):
                spectrum = torch.fft.rfft(signal, dim=-1)
                return self.fc(spectrum)
        """,
        model="SpectralNet()",
        inputs="torch.randn(B, 16)",
        expression="self.fc(spectrum)",
        operands=("spectrum: 4, 9", "fc.weight: 3, 9"),
        module="fc",
        root=(("step", "spectrum = torch.fft.rfft(signal, dim=-1)"),),
        fixed=(),
        tempting=({"self.fc(spectrum)": "self.fc(spectrum.float())"},),
    ),
)
