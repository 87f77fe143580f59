"""view, reshape, unflatten, cat, stack, split, and dimensions that do not exist."""

from __future__ import annotations

from tests.broken.case import Case

CASES = (
    Case(
        name="batch_size_in_the_view",
        source="""
        class CNN(nn.Module):
            def __init__(self):
                super(CNN, self).__init__()
                self.conv = nn.Conv2d(1, 8, 5, padding=2)
                self.pool = nn.MaxPool2d(4)
                self.out = nn.Linear(8 * 7 * 7, 10)

            def forward(self, x):
                x = self.pool(F.relu(self.conv(x)))
                x = x.view(64, 8 * 7 * 7)
                return self.out(x)
        """,
        model="CNN()",
        inputs="torch.randn(B, 1, 28, 28)",
        expression="x.view(64, 8 * 7 * 7)",
        operands=("x: 4, 8, 7, 7",),
        fixed=({"x.view(64, 8 * 7 * 7)": "x.view(x.size(0), 8 * 7 * 7)"},),
        tempting=({"x.view(64, 8 * 7 * 7)": "x.view(4, 8 * 7 * 7)"},),
    ),
    Case(
        name="batch_size_in_an_earlier_view",
        source="""
        class CNN(nn.Module):
            def __init__(self):
                super(CNN, self).__init__()
                self.conv = nn.Conv2d(1, 8, 5, padding=2)
                self.pool = nn.MaxPool2d(4)
                self.fc = nn.Linear(8 * 7 * 7, 32)
                self.out = nn.Linear(32, 10)

            def forward(self, x):
                x = self.pool(F.relu(self.conv(x)))
                x = x.view(32, -1)
                x = F.relu(self.fc(x))
                return self.out(x)
        """,
        model="CNN()",
        inputs="torch.randn(B, 1, 28, 28)",
        expression="self.fc(x)",
        operands=("x: 32, 49*", "fc.weight: 32, 392*"),
        module="fc",
        root=(("step", "x = x.view(32, -1)"),),
        fixed=({"x.view(32, -1)": "x.view(x.size(0), -1)"},),
        tempting=({"nn.Linear(8 * 7 * 7, 32)": "nn.Linear(49, 32)"},),
    ),
    Case(
        name="view_swallows_the_batch_before_the_loss",
        source="""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv1 = nn.Conv2d(3, 6, 5)
                self.conv2 = nn.Conv2d(6, 16, 5)
                self.fc1 = nn.Linear(16 * 5 * 5, 40)
                self.fc2 = nn.Linear(40, 10)

            def forward(self, x, target):
                x = F.max_pool2d(F.relu(self.conv1(x)), 2)
                x = F.max_pool2d(F.relu(self.conv2(x)), 2)
                x = x.view(-1, 16 * 5 * 5)
                x = F.relu(self.fc1(x))
                logits = self.fc2(x)
                return F.cross_entropy(logits, target)
        """,
        inputs="torch.randn(B, 3, 52, 52), torch.randint(0, 10, (B,))",
        expression="F.cross_entropy(logits, target)",
        operands=("logits: 16*, 10", "target: 4*"),
        root=(("step", "x = x.view(-1, 16 * 5 * 5)"),),
        fixed=(
            {
                "x.view(-1, 16 * 5 * 5)": "x.view(x.size(0), -1)",
                "nn.Linear(16 * 5 * 5, 40)": "nn.Linear(16 * 10 * 10, 40)",
            },
            {"x = x.view(-1, 16 * 5 * 5)": "x = F.adaptive_avg_pool2d(x, 5).flatten(1)"},
            {"x = x.view(-1, 16 * 5 * 5)": "x = F.adaptive_max_pool2d(x, 5).flatten(1)"},
        ),
        tempting=(
            {"cross_entropy(logits, target)": "cross_entropy(logits[: len(target)], target)"},
            {
                "F.cross_entropy(logits, target)": (
                    "F.cross_entropy(logits, target.repeat_interleave(4))"
                )
            },
        ),
    ),
    Case(
        name="view_of_transposed_heads",
        source="""
        class Attention(nn.Module):
            def __init__(self, dim, num_heads):
                super().__init__()
                self.num_heads = num_heads
                self.qkv = nn.Linear(dim, dim * 3)
                self.proj = nn.Linear(dim, dim)

            def forward(self, x):
                B, N, C = x.shape
                qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, C // self.num_heads)
                q, k, v = qkv.permute(2, 0, 3, 1, 4)
                attn = (q @ k.transpose(-2, -1)).softmax(dim=-1)
                x = (attn @ v).transpose(1, 2).view(B, N, C)
                return self.proj(x)


        class ViT(nn.Module):
            def __init__(self):
                super().__init__()
                self.blocks = nn.Sequential(*[Attention(24, 3) for _ in range(2)])

            def forward(self, x):
                return self.blocks(x)
        """,
        model="ViT()",
        inputs="torch.randn(B, 10, 24)",
        expression="(attn @ v).transpose(1, 2).view(B, N, C)",
        operands=("(attn @ v).transpose(1, 2): 4, 10, 3, 8",),
        module="blocks.0",
        root=(("step", "x = (attn @ v).transpose(1, 2).view(B, N, C)"),),
        fixed=({".transpose(1, 2).view(B, N, C)": ".transpose(1, 2).reshape(B, N, C)"},),
        tempting=({".transpose(1, 2).view(B, N, C)": ".view(B, N, C)"},),
    ),
    Case(
        name="heads_do_not_divide",
        source="""
        class SelfAttention(nn.Module):
            def __init__(self, dim, heads):
                super().__init__()
                self.heads = heads
                self.head_dim = dim // heads
                self.to_q = nn.Linear(dim, dim)

            def forward(self, x):
                b, t, _ = x.shape
                q = self.to_q(x)
                q = q.view(b, t, self.heads, self.head_dim)
                return q.transpose(1, 2)


        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.attn = SelfAttention(100, heads=8)

            def forward(self, x):
                return self.attn(x)
        """,
        model="Model()",
        inputs="torch.randn(B, 5, 100)",
        expression="q.view(b, t, self.heads, self.head_dim)",
        operands=("q: 4, 5, 100",),
        module="attn",
        root=(
            ("constructor", "self.attn = SelfAttention(100, heads=8)"),
            ("constructor", "self.head_dim = dim // heads"),
        ),
        fixed=(),
        tempting=({"q = self.to_q(x)": "q = self.to_q(x)[..., : self.heads * self.head_dim]"},),
    ),
    Case(
        name="tokens_to_a_grid_with_the_class_token",
        source="""
        class Head(nn.Module):
            def __init__(self, dim):
                super().__init__()
                self.conv = nn.Conv2d(dim, 2, 1)

            def forward(self, tokens):
                grid = tokens.transpose(1, 2).unflatten(2, (8, 8))
                return self.conv(grid)


        class Segmenter(nn.Module):
            def __init__(self, dim=12):
                super().__init__()
                self.patch = nn.Conv2d(3, dim, 4, stride=4)
                self.cls = nn.Parameter(torch.randn(1, 1, dim))
                self.block = nn.TransformerEncoderLayer(dim, 2, 24, batch_first=True)
                self.decode = Head(dim)

            def forward(self, image):
                x = self.patch(image).flatten(2).transpose(1, 2)
                x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1)
                x = self.block(x)
                return self.decode(x)
        """,
        model="Segmenter()",
        inputs="torch.randn(B, 3, 32, 32)",
        expression="tokens.transpose(1, 2).unflatten(2, (8, 8))",
        operands=("tokens.transpose(1, 2): 4, 12, 65*",),
        module="decode",
        root=(
            ("step", "x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1)"),
            ("call", "return self.decode(x)"),
        ),
        fixed=({"self.decode(x)": "self.decode(x[:, 1:])"},),
        tempting=(
            {"tokens.transpose(1, 2).unflatten": "tokens[:, :64].transpose(1, 2).unflatten"},
        ),
    ),
    Case(
        name="generator_reshapes_to_another_map",
        source="""
        class Generator(nn.Module):
            def __init__(self, latent=20):
                super().__init__()
                self.fc = nn.Linear(latent, 16 * 7 * 7)
                self.up = nn.Sequential(
                    nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU(),
                    nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh(),
                )

            def forward(self, z):
                x = self.fc(z)
                x = x.view(z.size(0), 16, 8, 8)
                return self.up(x)
        """,
        model="Generator()",
        inputs="torch.randn(B, 20)",
        expression="x.view(z.size(0), 16, 8, 8)",
        operands=("x: 4, 784*",),
        root=(("constructor", "self.fc = nn.Linear(latent, 16 * 7 * 7)"),),
        fixed=(
            {"z.size(0), 16, 8, 8": "z.size(0), 16, 7, 7"},
            {"nn.Linear(latent, 16 * 7 * 7)": "nn.Linear(latent, 16 * 8 * 8)"},
        ),
    ),
    Case(
        name="patches_that_do_not_divide_the_image",
        source="""
        class Patchify(nn.Module):
            def __init__(self, p=4):
                super().__init__()
                self.p = p

            def forward(self, x):
                b, c, h, w = x.shape
                p = self.p
                x = x.reshape(b, c, h // p, p, w // p, p)
                return x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


        class Mixer(nn.Module):
            def __init__(self):
                super().__init__()
                self.patchify = Patchify()
                self.embed = nn.Linear(3 * 4 * 4, 10)

            def forward(self, image):
                return self.embed(self.patchify(image))
        """,
        model="Mixer()",
        inputs="torch.randn(B, 3, 30, 30)",
        expression="x.reshape(b, c, h // p, p, w // p, p)",
        operands=("image: 4, 3, 30*, 30*",),
        module="patchify",
        root=(("input", ""), ("call", "self.patchify(image)"), ("constructor", "p=4")),
        fixed=(),
        tempting=({"b, c, h, w = x.shape": "x = x[..., :28, :28]; b, c, h, w = x.shape"},),
    ),
    Case(
        name="squeeze_drops_a_batch_of_one",
        source="""
        class Fusion(nn.Module):
            def __init__(self):
                super().__init__()
                self.cnn = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
                self.fc = nn.Linear(8 + 5, 2)

            def forward(self, image, meta):
                feat = self.cnn(image).squeeze()
                x = torch.cat([feat, meta], dim=1)
                return self.fc(x)
        """,
        model="Fusion()",
        inputs="torch.randn(B, 3, 9, 9), torch.randn(B, 5)",
        batch=1,
        expression="torch.cat([feat, meta], dim=1)",
        operands=("feat: 8", "meta: 1, 5"),
        root=(("step", "feat = self.cnn(image).squeeze()"),),
        fixed=({"self.cnn(image).squeeze()": "self.cnn(image).flatten(1)"},),
        tempting=(
            {"torch.cat([feat, meta], dim=1)": "torch.cat([feat, meta[0]], dim=0)"},
            {"torch.cat([feat, meta], dim=1)": "torch.cat([feat[None], meta], dim=1)"},
        ),
    ),
    Case(
        name="squeeze_before_batchnorm",
        source="""
        class Embedder(nn.Module):
            def __init__(self, dim=6):
                super().__init__()
                self.backbone = nn.Sequential(nn.Conv2d(3, dim, 3), nn.AdaptiveAvgPool2d(1))
                self.bottleneck = nn.BatchNorm1d(dim)

            def forward(self, x):
                feat = torch.squeeze(self.backbone(x))
                return self.bottleneck(feat)
        """,
        model="Embedder().eval()",
        inputs="torch.randn(B, 3, 8, 8)",
        batch=1,
        expression="self.bottleneck(feat)",
        operands=("feat: 6",),
        module="bottleneck",
        root=(("step", "feat = torch.squeeze(self.backbone(x))"),),
        fixed=({"torch.squeeze(self.backbone(x))": "self.backbone(x).flatten(1)"},),
        tempting=({"self.bottleneck(feat)": "self.bottleneck(feat.unsqueeze(0))"},),
    ),
    Case(
        name="unet_joins_along_the_batch",
        source="""
        class Up(nn.Module):
            def __init__(self, inner, outer):
                super().__init__()
                self.up = nn.ConvTranspose2d(inner, outer, 2, stride=2)
                self.conv = nn.Sequential(nn.Conv2d(2 * outer, outer, 3, padding=1), nn.ReLU())

            def forward(self, x, skip):
                x = self.up(x)
                x = torch.cat([x, skip])
                return self.conv(x)


        class UNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.d1 = nn.Conv2d(1, 4, 3, padding=1)
                self.d2 = nn.Conv2d(4, 8, 3, padding=1)
                self.up1 = Up(8, 4)

            def forward(self, x):
                s = F.relu(self.d1(x))
                x = F.relu(self.d2(F.max_pool2d(s, 2)))
                return self.up1(x, s)
        """,
        model="UNet()",
        inputs="torch.randn(B, 1, 16, 16)",
        expression="self.conv(x)",
        operands=("x: 8, 4*, 16, 16", "up1.conv.0.weight: 4, 8*, 3, 3"),
        module="up1.conv.0",
        root=(("step", "x = torch.cat([x, skip])"),),
        fixed=({"torch.cat([x, skip])": "torch.cat([x, skip], dim=1)"},),
        tempting=({"nn.Conv2d(2 * outer, outer": "nn.Conv2d(outer, outer"},),
    ),
    Case(
        name="unet_on_an_odd_image",
        source="""
        def double_conv(inner, outer):
            return nn.Sequential(
                nn.Conv2d(inner, outer, 3, padding=1), nn.ReLU(inplace=True),
                nn.Conv2d(outer, outer, 3, padding=1), nn.ReLU(inplace=True),
            )


        class UNet(nn.Module):
            def __init__(self):
                super(UNet, self).__init__()
                self.down1 = double_conv(1, 4)
                self.down2 = double_conv(4, 8)
                self.maxpool = nn.MaxPool2d(2)
                self.upconv = nn.ConvTranspose2d(8, 4, 2, stride=2)
                self.merge = double_conv(8, 4)
                self.last = nn.Conv2d(4, 1, 1)

            def forward(self, x, target):
                conv1 = self.down1(x)
                conv2 = self.down2(self.maxpool(conv1))
                up = self.upconv(conv2)
                x = self.merge(torch.cat([conv1, up], dim=1))
                return F.binary_cross_entropy_with_logits(self.last(x), target)
        """,
        model="UNet()",
        inputs="torch.randn(B, 1, 25, 25), torch.rand(B, 1, 25, 25)",
        expression="torch.cat([conv1, up], dim=1)",
        operands=("conv1: 4, 4, 25*, 25*", "up: 4, 4, 24*, 24*"),
        root=(
            ("step", "up = self.upconv(conv2)"),
            ("step", "conv2 = self.down2(self.maxpool(conv1))"),
            ("input", ""),
        ),
        fixed=(
            {"up = self.upconv(conv2)": "up = self.upconv(conv2, output_size=conv1.shape[2:])"},
            {
                "up = self.upconv(conv2)": (
                    "up = F.interpolate(self.upconv(conv2), size=conv1.shape[2:])"
                )
            },
            {"up = self.upconv(conv2)": "up = F.pad(self.upconv(conv2), (0, 1, 0, 1))"},
            {
                "up = self.upconv(conv2)": (
                    "up = F.interpolate(self.upconv(conv2), size=conv1.shape[2:], mode='bilinear')"
                )
            },
            {
                "up = self.upconv(conv2)": (
                    "up = F.interpolate(self.upconv(conv2), size=conv1.shape[2:], "
                    "mode='bilinear', align_corners=False)"
                )
            },
        ),
        tempting=(
            {
                "torch.cat([conv1, up], dim=1)": "torch.cat([conv1[:, :, :24, :24], up], dim=1)",
                "self.last(x), target)": "self.last(x), target[:, :, :24, :24])",
            },
        ),
    ),
    Case(
        name="unet_decoder_expects_fewer_channels",
        source="""
        class DoubleConv(nn.Module):
            def __init__(self, inner, outer):
                super().__init__()
                self.block = nn.Sequential(
                    nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU(),
                )

            def forward(self, x):
                return self.block(x)


        class Decoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.up = nn.Upsample(scale_factor=2)
                self.conv = DoubleConv(16, 8)

            def forward(self, x, skip):
                x = self.up(x)
                return self.conv(torch.cat([skip, x], dim=1))


        class UNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.enc1 = DoubleConv(3, 8)
                self.enc2 = DoubleConv(8, 16)
                self.dec = Decoder()

            def forward(self, x):
                skip = self.enc1(x)
                x = self.enc2(F.max_pool2d(skip, 2))
                return self.dec(x, skip)
        """,
        model="UNet()",
        inputs="torch.randn(B, 3, 16, 16)",
        expression="self.block(x)",
        operands=(
            "torch.cat([skip, x], dim=1): 4, 24*, 16, 16",
            "dec.conv.block.0.weight: 8, 16*, 3, 3",
        ),
        module="dec.conv.block.0",
        root=(
            ("constructor", "self.conv = DoubleConv(16, 8)"),
            ("constructor", "nn.Conv2d(inner, outer, 3, padding=1)"),
        ),
        fixed=({"self.conv = DoubleConv(16, 8)": "self.conv = DoubleConv(24, 8)"},),
        tempting=({"return self.conv(torch.cat([skip, x], dim=1))": "return self.conv(x)"},),
    ),
    Case(
        name="cat_of_a_scalar_condition",
        source="""
        class Critic(nn.Module):
            def __init__(self, obs=6, hidden=12):
                super().__init__()
                self.net = nn.Sequential(
                    nn.Linear(obs + 1, hidden), nn.Tanh(), nn.Linear(hidden, 1)
                )

            def forward(self, obs, action):
                return self.net(torch.cat([obs, action], dim=1))
        """,
        model="Critic()",
        inputs="torch.randn(B, 6), torch.randn(B)",
        expression="torch.cat([obs, action], dim=1)",
        operands=("obs: 4, 6", "action: 4"),
        root=(("input", ""),),
        fixed=({"[obs, action]": "[obs, action.unsqueeze(1)]"},),
    ),
    Case(
        name="conditional_discriminator_with_an_image",
        source="""
        class Discriminator(nn.Module):
            def __init__(self, classes=5, size=8):
                super().__init__()
                self.label_emb = nn.Embedding(classes, classes)
                self.model = nn.Sequential(
                    nn.Linear(size * size + classes, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)
                )

            def forward(self, img, labels):
                d_in = torch.cat((img, self.label_emb(labels)), -1)
                return self.model(d_in)
        """,
        model="Discriminator()",
        inputs="torch.randn(B, 1, 8, 8), torch.randint(0, 5, (B,))",
        expression="torch.cat((img, self.label_emb(labels)), -1)",
        operands=("img: 4, 1, 8, 8", "self.label_emb(labels): 4, 5"),
        root=(("input", ""),),
        fixed=({"(img, self.label_emb": "(img.flatten(1), self.label_emb"},),
    ),
    Case(
        name="stack_of_sequences_of_unlike_length",
        source="""
        class Batcher(nn.Module):
            def __init__(self):
                super().__init__()
                self.proj = nn.Linear(4, 8)
                self.rnn = nn.GRU(8, 8, batch_first=True)

            def forward(self, seqs):
                x = torch.stack([self.proj(s) for s in seqs])
                _, h = self.rnn(x)
                return h[-1]
        """,
        model="Batcher()",
        inputs="[torch.randn(5 + i, 4) for i in range(B)]",
        expression="torch.stack([self.proj(s) for s in seqs])",
        operands=(
            "self.proj(s): 5*, 8",
            "self.proj(s): 6*, 8",
            "self.proj(s): 7*, 8",
            "self.proj(s): 8*, 8",
        ),
        root=(("input", ""),),
        fixed=(),
        tempting=({"self.proj(s) for": "self.proj(s[:5]) for"},),
    ),
    Case(
        name="split_into_sizes_of_another_width",
        source="""
        class GQA(nn.Module):
            def __init__(self, dim=32, kv=8):
                super().__init__()
                self.dim, self.kv = dim, kv
                self.wqkv = nn.Linear(dim, dim + 2 * kv)
                self.wo = nn.Linear(dim, dim)

            def forward(self, x):
                q, k, v = self.wqkv(x).split([self.dim, self.kv, 16], dim=-1)
                gate = torch.sigmoid((k * v).sum(-1, keepdim=True))
                return self.wo(q * gate)
        """,
        model="GQA()",
        inputs="torch.randn(B, 6, 32)",
        expression="self.wqkv(x).split([self.dim, self.kv, 16], dim=-1)",
        operands=("self.wqkv(x): 4, 6, 48*",),
        root=(("constructor", "self.wqkv = nn.Linear(dim, dim + 2 * kv)"),),
        fixed=({"[self.dim, self.kv, 16]": "[self.dim, self.kv, 8]"},),
    ),
    Case(
        name="chunk_along_time_and_unpack",
        source="""
        class Attention(nn.Module):
            def __init__(self, dim=8):
                super().__init__()
                self.dim = dim
                self.qkv = nn.Linear(dim, 3 * dim)

            def forward(self, x):
                q, k, v = self.qkv(x).split(self.dim, dim=1)
                return (q @ k.transpose(1, 2)).softmax(-1) @ v
        """,
        model="Attention()",
        inputs="torch.randn(B, 6, 8)",
        expression="q, k, v = self.qkv(x).split(self.dim, dim=1)",
        operands=(),
        fixed=({"split(self.dim, dim=1)": "split(self.dim, dim=2)"},),
    ),
    Case(
        name="image_mean_of_tokens",
        source="""
        class TokenHead(nn.Module):
            def __init__(self, dim=12):
                super().__init__()
                self.norm = nn.LayerNorm(dim)
                self.head = nn.Linear(dim, 3)

            def forward(self, x):
                x = self.norm(x)
                x = x.mean(dim=[2, 3])
                return self.head(x)
        """,
        model="TokenHead()",
        inputs="torch.randn(B, 9, 12)",
        expression="x.mean(dim=[2, 3])",
        operands=("x: 4, 9, 12",),
        root=(("input", ""),),
        fixed=({"x.mean(dim=[2, 3])": "x.mean(dim=1)"},),
    ),
    Case(
        name="softmax_over_an_axis_that_is_not_there",
        source="""
        class MIL(nn.Module):
            def __init__(self):
                super().__init__()
                self.score = nn.Sequential(nn.Linear(10, 6), nn.Tanh(), nn.Linear(6, 1))
                self.head = nn.Linear(10, 2)

            def forward(self, bag):
                a = self.score(bag).squeeze(-1)
                a = F.softmax(a, dim=2)
                z = torch.bmm(a.unsqueeze(1), bag).squeeze(1)
                return self.head(z)
        """,
        model="MIL()",
        inputs="torch.randn(B, 7, 10)",
        expression="F.softmax(a, dim=2)",
        operands=("a: 4, 7",),
        root=(("step", "a = self.score(bag).squeeze(-1)"),),
        fixed=({"F.softmax(a, dim=2)": "F.softmax(a, dim=1)"},),
        tempting=({"F.softmax(a, dim=2)": "F.softmax(a, dim=0)"},),
    ),
    Case(
        name="permute_before_flattening_the_map",
        source="""
        class Patches(nn.Module):
            def __init__(self, dim=10):
                super().__init__()
                self.proj = nn.Conv2d(3, dim, 4, 4)
                self.norm = nn.LayerNorm(dim)

            def forward(self, x):
                x = self.proj(x)
                x = x.permute(0, 2, 1)
                return self.norm(x)
        """,
        model="Patches()",
        inputs="torch.randn(B, 3, 16, 16)",
        expression="x.permute(0, 2, 1)",
        operands=("x: 4, 10, 4, 4",),
        root=(("step", "x = self.proj(x)"),),
        fixed=({"x.permute(0, 2, 1)": "x.flatten(2).permute(0, 2, 1)"},),
    ),
    Case(
        name="channel_shuffle_in_a_lambda",
        source="""
        class ShuffleBlock(nn.Module):
            def __init__(self, c, groups=3):
                super().__init__()
                self.conv = nn.Conv2d(c, c, 1)
                self.rearrange = lambda t: t.view(t.size(0), groups, 16 // groups, *t.shape[2:])

            def forward(self, x):
                x = self.rearrange(self.conv(x))
                return x.transpose(1, 2).flatten(1, 2)


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.stage = nn.Sequential(nn.Conv2d(3, 16, 3), ShuffleBlock(16))

            def forward(self, x):
                return self.stage(x)
        """,
        inputs="torch.randn(B, 3, 8, 8)",
        expression="t.view(t.size(0), groups, 16 // groups, *t.shape[2:])",
        operands=("self.conv(x): 4, 16, 6, 6",),
        module="stage.1",
        root=(("constructor", "groups=3"), ("constructor", "ShuffleBlock(16)")),
        fixed=(),
    ),
)
