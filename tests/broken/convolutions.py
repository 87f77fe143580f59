"""Convolution, transposed convolution, pooling, and the normalisations that follow them."""

from __future__ import annotations

from tests.broken.case import Case

CASES = (
    Case(
        name="images_with_channels_last",
        source="""
        class Policy(nn.Module):
            def __init__(self, actions=4):
                super().__init__()
                self.conv = nn.Sequential(
                    nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(),
                    nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(),
                )
                self.head = nn.Sequential(
                    nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, actions)
                )

            def forward(self, obs):
                # obs comes from gym: (batch, height, width, 3)
                return self.head(self.conv(obs))
        """,
        model="Policy()",
        inputs="torch.randn(B, 24, 20, 3)",
        expression="self.conv(obs)",
        operands=("obs: 4, 24*, 20, 3", "conv.0.weight: 8, 3*, 3, 3"),
        module="conv.0",
        root=(("input", ""),),
        fixed=({"self.conv(obs)": "self.conv(obs.permute(0, 3, 1, 2))"},),
        tempting=(
            {"nn.Conv2d(3, 8, 3,": "nn.Conv2d(24, 8, 3,"},
            {"self.conv(obs)": "self.conv(obs.transpose(1, 3))"},
        ),
    ),
    Case(
        name="two_convolutions_that_do_not_meet",
        source="""
        class Net(nn.Module):
            def __init__(self):
                super(Net, self).__init__()
                self.features = nn.Sequential(
                    nn.Conv2d(3, 16, kernel_size=3, padding=1),
                    nn.BatchNorm2d(16),
                    nn.ReLU(inplace=True),
                    nn.Conv2d(32, 64, kernel_size=3, padding=1),
                    nn.ReLU(inplace=True),
                    nn.AdaptiveAvgPool2d(1),
                )
                self.classifier = nn.Linear(64, 10)

            def forward(self, x):
                x = self.features(x)
                x = x.view(x.size(0), -1)
                return self.classifier(x)
        """,
        inputs="torch.randn(B, 3, 12, 12)",
        expression="self.features(x)",
        operands=("self.features(x): 4, 16*, 12, 12", "features.3.weight: 64, 32*, 3, 3"),
        module="features.3",
        root=(("constructor", "nn.Conv2d(32, 64, kernel_size=3, padding=1)"),),
        fixed=({"nn.Conv2d(32, 64,": "nn.Conv2d(16, 64,"},),
    ),
    Case(
        name="grey_images_in_a_colour_network",
        source="""
        class ConvBlock(nn.Module):
            def __init__(self, inner, outer):
                super().__init__()
                self.conv = nn.Conv2d(inner, outer, 3, padding=1)

            def forward(self, x):
                return F.relu(self.conv(x))


        class Classifier(nn.Module):
            def __init__(self, in_channels=3, classes=10):
                super().__init__()
                self.block1 = ConvBlock(in_channels, 8)
                self.block2 = ConvBlock(8, 8)
                self.fc = nn.Linear(8, classes)

            def forward(self, img):
                x = self.block2(self.block1(img))
                return self.fc(x.mean(dim=(2, 3)))
        """,
        model="Classifier()",
        inputs="torch.randn(B, 1, 14, 14)",
        expression="self.conv(x)",
        operands=("img: 4, 1*, 14, 14", "block1.conv.weight: 8, 3*, 3, 3"),
        module="block1.conv",
        root=(
            ("input", ""),
            ("constructor", "in_channels=3"),
            ("constructor", "self.block1 = ConvBlock(in_channels, 8)"),
        ),
        fixed=(
            {"in_channels=3": "in_channels=1"},
            {"self.block1(img)": "self.block1(img.expand(-1, 3, -1, -1))"},
        ),
    ),
    Case(
        name="text_cnn_with_channels_last",
        source="""
        class TextCNN(nn.Module):
            def __init__(self, vocab=40, dim=16, classes=2):
                super().__init__()
                self.embed = nn.Embedding(vocab, dim)
                self.convs = nn.ModuleList([nn.Conv1d(dim, 6, k) for k in (2, 3)])
                self.fc = nn.Linear(12, classes)

            def forward(self, ids):
                x = self.embed(ids)
                xs = [F.relu(conv(x)).amax(dim=2) for conv in self.convs]
                return self.fc(torch.cat(xs, dim=1))
        """,
        model="TextCNN()",
        inputs="torch.randint(0, 40, (B, 11))",
        expression="conv(x)",
        operands=("x: 4, 11*, 16", "convs.0.weight: 6, 16*, 2"),
        module="convs.0",
        root=(("step", "x = self.embed(ids)"),),
        fixed=({"x = self.embed(ids)": "x = self.embed(ids).transpose(1, 2)"},),
        tempting=({"nn.Conv1d(dim, 6, k)": "nn.Conv1d(11, 6, k)"},),
    ),
    Case(
        name="text_cnn_without_a_channel_axis",
        source="""
        class KimCNN(nn.Module):
            def __init__(self, vocab=40, dim=16, classes=2):
                super(KimCNN, self).__init__()
                self.embed = nn.Embedding(vocab, dim)
                self.conv = nn.Conv2d(1, 6, (3, dim))
                self.fc = nn.Linear(6, classes)

            def forward(self, ids):
                x = self.embed(ids)
                x = F.relu(self.conv(x)).squeeze(3)
                x = F.max_pool1d(x, x.size(2)).squeeze(2)
                return self.fc(x)
        """,
        model="KimCNN()",
        inputs="torch.randint(0, 40, (B, 11))",
        expression="self.conv(x)",
        operands=("x: 4, 11, 16", "conv.weight: 6, 1, 3, 16"),
        module="conv",
        root=(("step", "x = self.embed(ids)"),),
        fixed=({"self.conv(x)": "self.conv(x.unsqueeze(1))"},),
        tempting=({"self.conv(x)": "self.conv(x.mean(0, True).unsqueeze(1))"},),
    ),
    Case(
        name="kernel_larger_than_what_is_left",
        source="""
        class Deep(nn.Module):
            def __init__(self):
                super().__init__()
                layers, c = [], 1
                for width in (4, 8, 8):
                    layers += [nn.Conv2d(c, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
                    c = width
                self.body = nn.Sequential(*layers)
                self.last = nn.Conv2d(8, 8, 5)

            def forward(self, x):
                return self.last(self.body(x))
        """,
        model="Deep()",
        inputs="torch.randn(B, 1, 28, 28)",
        expression="self.last(self.body(x))",
        operands=("self.body(x): 4, 8, 3*, 3*", "last.weight: 8, 8, 5*, 5*"),
        module="last",
        root=(
            ("constructor", "self.last = nn.Conv2d(8, 8, 5)"),
            ("constructor", "nn.MaxPool2d(2)"),
            ("step", "self.body(x)"),
            ("input", ""),
        ),
        fixed=(
            {"nn.Conv2d(8, 8, 5)": "nn.Conv2d(8, 8, 5, padding=2)"},
            {"nn.Conv2d(8, 8, 5)": "nn.Conv2d(8, 8, 5, padding=1)"},
            {"nn.Conv2d(8, 8, 5)": "nn.Conv2d(8, 8, 3)"},
        ),
    ),
    Case(
        name="pooling_to_nothing",
        source="""
        class AlexNetLike(nn.Module):
            def __init__(self):
                super().__init__()
                self.features = nn.Sequential(
                    nn.Conv2d(3, 8, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
                    nn.Conv2d(8, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
                )
                self.fc = nn.Linear(16, 10)

            def forward(self, x):
                return self.fc(torch.flatten(self.features(x), 1))
        """,
        model="AlexNetLike()",
        inputs="torch.randn(B, 3, 28, 28)",
        expression="self.features(x)",
        operands=("self.features(x): 4, 16, 2*, 2*",),
        module="features.5",
        root=(("input", ""), ("constructor", "stride=4"), ("constructor", "nn.MaxPool2d(3, 2)")),
        fixed=(),
    ),
    Case(
        name="dcgan_noise_without_a_map",
        source="""
        class Generator(nn.Module):
            def __init__(self, nz=10, ngf=4, nc=1):
                super(Generator, self).__init__()
                self.main = nn.Sequential(
                    nn.ConvTranspose2d(nz, ngf * 2, 4, 1, 0, bias=False),
                    nn.BatchNorm2d(ngf * 2),
                    nn.ReLU(True),
                    nn.ConvTranspose2d(ngf * 2, nc, 4, 2, 1, bias=False),
                    nn.Tanh(),
                )

            def forward(self, input):
                return self.main(input)
        """,
        model="Generator()",
        inputs="torch.randn(B, 10)",
        expression="self.main(input)",
        operands=("input: 4, 10", "main.0.weight: 10, 8, 4, 4"),
        module="main.0",
        root=(("input", ""),),
        fixed=({"self.main(input)": "self.main(input[:, :, None, None])"},),
    ),
    Case(
        name="upsampling_chain_of_a_generator",
        source="""
        def up(inner, outer):
            return nn.Sequential(
                nn.ConvTranspose2d(inner, outer, 4, 2, 1), nn.BatchNorm2d(outer), nn.ReLU(True)
            )


        class Decoder(nn.Module):
            def __init__(self, c=32):
                super().__init__()
                self.stages = nn.ModuleList([up(c, c // 2), up(c // 4, c // 8)])
                self.rgb = nn.Conv2d(c // 8, 3, 1)

            def forward(self, z):
                for stage in self.stages:
                    z = stage(z)
                return self.rgb(z)


        class VAE(nn.Module):
            def __init__(self):
                super().__init__()
                self.decoder = Decoder()

            def forward(self, z):
                return self.decoder(z)
        """,
        model="VAE()",
        inputs="torch.randn(B, 32, 4, 4)",
        expression="stage(z)",
        operands=("z: 4, 16*, 8, 8", "decoder.stages.1.0.weight: 8*, 4, 4, 4"),
        module="decoder.stages.1.0",
        root=(
            ("constructor", "self.stages = nn.ModuleList([up(c, c // 2), up(c // 4, c // 8)])"),
            ("constructor", "nn.ConvTranspose2d(inner, outer, 4, 2, 1)"),
        ),
        fixed=(
            {"up(c // 4, c // 8)": "up(c // 2, c // 8)"},
            {"up(c, c // 2)": "up(c, c // 4)"},
        ),
    ),
    Case(
        name="output_padding_without_a_stride",
        source="""
        class ConvAE(nn.Module):
            def __init__(self):
                super().__init__()
                self.enc = nn.Conv2d(1, 8, 3, stride=2, padding=1)
                self.dec = nn.ConvTranspose2d(8, 1, 3, padding=1, output_padding=1)

            def forward(self, x):
                recon = self.dec(F.relu(self.enc(x)))
                return F.mse_loss(recon, x)
        """,
        model="ConvAE()",
        inputs="torch.randn(B, 1, 16, 16)",
        expression="self.dec(F.relu(self.enc(x)))",
        operands=("F.relu(self.enc(x)): 4, 8, 8, 8", "dec.weight: 8, 1, 3, 3"),
        module="dec",
        root=(("constructor", "self.dec = nn.ConvTranspose2d(8, 1, 3, padding=1"),),
        fixed=({"3, padding=1, output_padding=1": "3, stride=2, padding=1, output_padding=1"},),
    ),
    Case(
        name="autoencoder_that_loses_three_rows",
        source="""
        class ConvAE(nn.Module):
            def __init__(self):
                super().__init__()
                self.encoder = nn.Sequential(
                    nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(),
                )
                self.decoder = nn.Sequential(
                    nn.ConvTranspose2d(4, 1, 3, stride=2, padding=1), nn.Sigmoid(),
                )

            def forward(self, x):
                recon = self.decoder(self.encoder(x))
                loss = F.binary_cross_entropy(recon, x)
                return loss, recon
        """,
        model="ConvAE()",
        inputs="torch.rand(B, 1, 28, 28)",
        expression="F.binary_cross_entropy(recon, x)",
        operands=("recon: 4, 1, 27*, 27*", "x: 4, 1, 28*, 28*"),
        root=(
            ("constructor", "nn.ConvTranspose2d(4, 1, 3, stride=2, padding=1)"),
            ("step", "recon = self.decoder(self.encoder(x))"),
        ),
        fixed=(
            {
                "4, 1, 3, stride=2, padding=1), nn.Sig": (
                    "4, 1, 3, stride=2, padding=1, output_padding=1), nn.Sig"
                )
            },
        ),
        tempting=(
            {
                "F.binary_cross_entropy(recon, x)": (
                    "F.binary_cross_entropy(recon, x[..., :27, :27])"
                )
            },
        ),
    ),
    Case(
        name="depthwise_convolution_of_other_groups",
        source="""
        class InvertedResidual(nn.Module):
            def __init__(self, inp, oup, expand):
                super(InvertedResidual, self).__init__()
                hidden = inp * expand
                self.conv = nn.Sequential(
                    nn.Conv2d(inp, hidden, 1, bias=False),
                    nn.BatchNorm2d(hidden),
                    nn.ReLU6(inplace=True),
                    nn.Conv2d(inp, inp, 3, 1, 1, groups=inp, bias=False),
                    nn.BatchNorm2d(hidden),
                    nn.ReLU6(inplace=True),
                    nn.Conv2d(hidden, oup, 1, bias=False),
                )

            def forward(self, x):
                return x + self.conv(x)


        class MobileNet(nn.Module):
            def __init__(self):
                super(MobileNet, self).__init__()
                self.features = nn.Sequential(
                    nn.Conv2d(3, 8, 3, padding=1), InvertedResidual(8, 8, expand=2)
                )

            def forward(self, x):
                return self.features(x)
        """,
        model="MobileNet()",
        inputs="torch.randn(B, 3, 8, 8)",
        expression="self.conv(x)",
        operands=("self.conv(x): 4, 16*, 8, 8", "features.1.conv.3.weight: 8, 1*, 3, 3"),
        module="features.1.conv.3",
        root=(("constructor", "nn.Conv2d(inp, inp, 3, 1, 1, groups=inp, bias=False)"),),
        fixed=(
            {
                "nn.Conv2d(inp, inp, 3, 1, 1, groups=inp, bias=False)": (
                    "nn.Conv2d(hidden, hidden, 3, 1, 1, groups=hidden, bias=False)"
                )
            },
        ),
    ),
    Case(
        name="batchnorm_of_other_features",
        source="""
        class ConvBnRelu(nn.Module):
            def __init__(self, inner, outer):
                super().__init__()
                self.conv = nn.Conv2d(inner, outer, 3, padding=1, bias=False)
                self.bn = nn.BatchNorm2d(inner)
                self.relu = nn.ReLU(inplace=True)

            def forward(self, x):
                return self.relu(self.bn(self.conv(x)))


        class Stage(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.Sequential(ConvBnRelu(8, 8), ConvBnRelu(8, 16))

            def forward(self, x):
                return self.layers(x)


        class Backbone(nn.Module):
            def __init__(self):
                super().__init__()
                self.stem = nn.Conv2d(3, 8, 1)
                self.stage1 = Stage()

            def forward(self, x):
                return self.stage1(self.stem(x))
        """,
        model="Backbone()",
        inputs="torch.randn(B, 3, 8, 8)",
        expression="self.bn(self.conv(x))",
        operands=("self.conv(x): 4, 16*, 8, 8", "stage1.layers.1.bn.running_mean: 8*"),
        module="stage1.layers.1.bn",
        root=(("constructor", "self.bn = nn.BatchNorm2d(inner)"),),
        fixed=({"nn.BatchNorm2d(inner)": "nn.BatchNorm2d(outer)"},),
    ),
    Case(
        name="batchnorm2d_of_flat_features",
        source="""
        class Head(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc1 = nn.Linear(12, 8)
                self.bn1 = nn.BatchNorm2d(8)
                self.fc2 = nn.Linear(8, 2)

            def forward(self, x):
                x = F.relu(self.bn1(self.fc1(x)))
                return self.fc2(x)
        """,
        model="Head()",
        inputs="torch.randn(B, 12)",
        expression="self.bn1(self.fc1(x))",
        operands=("self.fc1(x): 4, 8",),
        module="bn1",
        root=(("constructor", "self.bn1 = nn.BatchNorm2d(8)"),),
        fixed=({"nn.BatchNorm2d(8)": "nn.BatchNorm1d(8)"},),
    ),
    Case(
        name="batchnorm1d_of_tokens",
        source="""
        class FeedForward(nn.Module):
            def __init__(self, dim=10, hidden=20):
                super().__init__()
                self.fc1 = nn.Linear(dim, hidden)
                self.bn = nn.BatchNorm1d(hidden)
                self.fc2 = nn.Linear(hidden, dim)

            def forward(self, x):
                # x: (batch, tokens, dim)
                h = self.fc1(x)
                h = self.bn(h)
                return x + self.fc2(F.gelu(h))
        """,
        model="FeedForward()",
        inputs="torch.randn(B, 7, 10)",
        expression="self.bn(h)",
        operands=("h: 4, 7*, 20", "bn.running_mean: 20*"),
        module="bn",
        root=(("step", "h = self.fc1(x)"), ("input", "")),
        fixed=({"h = self.bn(h)": "h = self.bn(h.transpose(1, 2)).transpose(1, 2)"},),
        tempting=({"nn.BatchNorm1d(hidden)": "nn.BatchNorm1d(7)"},),
    ),
    Case(
        name="batchnorm_of_one_value_per_channel",
        source="""
        class ASPPPooling(nn.Sequential):
            def __init__(self, inner, outer):
                super().__init__(
                    nn.AdaptiveAvgPool2d(1),
                    nn.Conv2d(inner, outer, 1, bias=False),
                    nn.BatchNorm2d(outer),
                    nn.ReLU(),
                )

            def forward(self, x):
                size = x.shape[-2:]
                for mod in self:
                    x = mod(x)
                return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


        class DeepLabHead(nn.Module):
            def __init__(self):
                super().__init__()
                self.pooling = ASPPPooling(6, 4)
                self.conv = nn.Conv2d(6, 4, 1)

            def forward(self, x):
                return torch.cat([self.conv(x), self.pooling(x)], dim=1)
        """,
        model="DeepLabHead()",
        inputs="torch.randn(B, 6, 9, 9)",
        batch=1,
        expression="mod(x)",
        operands=("x: 1, 4, 1, 1",),
        module="pooling.2",
        root=(("input", ""), ("constructor", "nn.AdaptiveAvgPool2d(1)")),
        fixed=(),
        tempting=({"for mod in self:": "for mod in [self[0], self[1], self[3]]:"},),
    ),
    Case(
        name="layernorm_of_a_map",
        source="""
        class ConvNeXtBlock(nn.Module):
            def __init__(self, dim):
                super().__init__()
                self.dwconv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
                self.norm = nn.LayerNorm(dim)
                self.pwconv = nn.Conv2d(dim, dim, 1)

            def forward(self, x):
                y = self.dwconv(x)
                y = self.norm(y)
                return x + self.pwconv(F.gelu(y))


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.blocks = nn.ModuleList([ConvNeXtBlock(12)])

            def forward(self, x):
                for blk in self.blocks:
                    x = blk(x)
                return x
        """,
        inputs="torch.randn(B, 12, 8, 8)",
        expression="self.norm(y)",
        operands=("y: 4, 12, 8, 8*", "blocks.0.norm.weight: 12*"),
        module="blocks.0.norm",
        root=(
            ("step", "y = self.dwconv(x)"),
            ("constructor", "self.norm = nn.LayerNorm(dim)"),
        ),
        fixed=({"y = self.norm(y)": "y = self.norm(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)"},),
        tempting=({"nn.LayerNorm(dim)": "nn.LayerNorm(8)"},),
    ),
    Case(
        name="groupnorm_of_other_channels",
        source="""
        class WideBlock(nn.Module):
            def __init__(self, inner, outer):
                super().__init__()
                self.conv = nn.Conv2d(inner, outer, 3, padding=1)
                self.norm = nn.GroupNorm(4, inner)

            def forward(self, x):
                x = self.conv(x)
                return F.silu(self.norm(x))
        """,
        model="WideBlock(8, 16)",
        inputs="torch.randn(B, 8, 6, 6)",
        expression="self.norm(x)",
        operands=("x: 4, 16*, 6, 6", "norm.weight: 8*"),
        module="norm",
        root=(("constructor", "self.norm = nn.GroupNorm(4, inner)"),),
        fixed=({"nn.GroupNorm(4, inner)": "nn.GroupNorm(4, outer)"},),
    ),
)
