"""Broadcasting: arithmetic, in-place, expand, masks, assignment to a part."""

from __future__ import annotations

from tests.broken.case import Case

CASES = (
    Case(
        name="residual_with_a_stride_and_no_shortcut",
        source="""
        class BasicBlock(nn.Module):
            def __init__(self, inplanes, planes, stride=1, downsample=None):
                super(BasicBlock, self).__init__()
                self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
                self.bn1 = nn.BatchNorm2d(planes)
                self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
                self.bn2 = nn.BatchNorm2d(planes)
                self.downsample = downsample

            def forward(self, x):
                identity = x
                out = F.relu(self.bn1(self.conv1(x)))
                out = self.bn2(self.conv2(out))
                if self.downsample is not None:
                    identity = self.downsample(x)
                out += identity
                return F.relu(out)


        class ResNet(nn.Module):
            def __init__(self):
                super(ResNet, self).__init__()
                self.layer1 = nn.Sequential(BasicBlock(8, 8), BasicBlock(8, 8))
                self.layer2 = nn.Sequential(BasicBlock(8, 16, stride=2), BasicBlock(16, 16))

            def forward(self, x):
                return self.layer2(self.layer1(x))
        """,
        model="ResNet()",
        inputs="torch.randn(B, 8, 16, 16)",
        expression="out += identity",
        operands=("out: 4, 16*, 8*, 8*", "identity: 4, 8*, 16*, 16*"),
        module="layer2.0",
        root=(
            ("constructor", "self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)"),
            ("constructor", "BasicBlock(8, 16, stride=2)"),
            ("step", "out = F.relu(self.bn1(self.conv1(x)))"),
        ),
        fixed=(),
        tempting=(
            {"out += identity": "out += identity[:, :1, : out.size(2), : out.size(3)]"},
            {"out += identity": "out += F.interpolate(identity, out.shape[2:])[:, :1]"},
        ),
    ),
    Case(
        name="residual_around_a_conv_without_padding",
        source="""
        class ResBlock(nn.Module):
            def __init__(self, c):
                super().__init__()
                self.conv1 = nn.Conv2d(c, c, 3, padding=1)
                self.conv2 = nn.Conv2d(c, c, 3)

            def forward(self, x):
                out = torch.relu(self.conv1(x))
                out = self.conv2(out)
                return torch.relu(x + out)


        class Generator(nn.Module):
            def __init__(self, n_blocks=2):
                super().__init__()
                self.first = nn.Conv2d(3, 8, 7, padding=3)
                self.blocks = nn.Sequential(*[ResBlock(8) for _ in range(n_blocks)])

            def forward(self, x):
                return self.blocks(self.first(x))
        """,
        model="Generator()",
        inputs="torch.randn(B, 3, 12, 12)",
        expression="x + out",
        operands=("x: 4, 8, 12*, 12*", "out: 4, 8, 10*, 10*"),
        module="blocks.0",
        root=(
            ("constructor", "self.conv2 = nn.Conv2d(c, c, 3)"),
            ("step", "out = self.conv2(out)"),
        ),
        fixed=({"nn.Conv2d(c, c, 3)": "nn.Conv2d(c, c, 3, padding=1)"},),
        tempting=(
            {"x + out": "x[:, :, 1:-1, 1:-1] + out"},
            {"x + out": "x + F.interpolate(out, x.shape[2:])"},
        ),
    ),
    Case(
        name="channel_gate_without_trailing_axes",
        source="""
        class ChannelAttention(nn.Module):
            def __init__(self, in_planes, ratio=4):
                super(ChannelAttention, self).__init__()
                self.mlp = nn.Sequential(
                    nn.Linear(in_planes, in_planes // ratio), nn.ReLU(),
                    nn.Linear(in_planes // ratio, in_planes),
                )

            def forward(self, x):
                avg = self.mlp(x.mean(dim=(2, 3)))
                mx = self.mlp(x.amax(dim=(2, 3)))
                scale = torch.sigmoid(avg + mx)
                return x * scale


        class CBAM(nn.Module):
            def __init__(self, planes):
                super(CBAM, self).__init__()
                self.channel = ChannelAttention(planes)
                self.spatial = nn.Conv2d(2, 1, 7, padding=3)

            def forward(self, x):
                x = self.channel(x)
                m = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
                return x * torch.sigmoid(self.spatial(m))


        class Net(nn.Module):
            def __init__(self):
                super(Net, self).__init__()
                self.conv = nn.Conv2d(3, 8, 3, padding=1)
                self.cbam = CBAM(8)

            def forward(self, x):
                return self.cbam(self.conv(x))
        """,
        inputs="torch.randn(B, 3, 8, 8)",
        expression="x * scale",
        operands=("x: 4, 8, 8*, 8", "scale: 4*, 8"),
        module="cbam.channel",
        root=(
            ("step", "scale = torch.sigmoid(avg + mx)"),
            ("step", "avg = self.mlp(x.mean(dim=(2, 3)))"),
        ),
        fixed=({"x * scale": "x * scale[:, :, None, None]"},),
        tempting=({"x * scale": "x * scale[:, None, None, :]"},),
    ),
    Case(
        name="film_over_time",
        source="""
        class FiLM(nn.Module):
            def __init__(self, cond, width):
                super().__init__()
                self.to_scale = nn.Linear(cond, 2 * width)

            def forward(self, x, c):
                gamma, beta = self.to_scale(c).chunk(2, dim=-1)
                return gamma * x + beta


        class Denoiser(nn.Module):
            def __init__(self):
                super().__init__()
                self.inp = nn.Linear(5, 16)
                self.mods = nn.ModuleList([FiLM(12, 16), FiLM(12, 16)])
                self.out = nn.Linear(16, 5)

            def forward(self, x, c):
                h = self.inp(x)
                for mod in self.mods:
                    h = torch.relu(mod(h, c))
                return self.out(h)
        """,
        model="Denoiser()",
        inputs="torch.randn(B, 20, 5), torch.randn(B, 12)",
        expression="gamma * x",
        operands=("gamma: 4*, 16", "h: 4, 20*, 16"),
        module="mods.0",
        root=(("step", "gamma, beta = self.to_scale(c).chunk(2, dim=-1)"), ("input", "")),
        fixed=({"self.to_scale(c).chunk": "self.to_scale(c).unsqueeze(1).chunk"},),
    ),
    Case(
        name="vit_forgets_the_class_token",
        source="""
        class PatchEmbed(nn.Module):
            def __init__(self, img_size, patch, dim):
                super().__init__()
                self.num_patches = (img_size // patch) ** 2
                self.proj = nn.Conv2d(3, dim, patch, stride=patch)

            def forward(self, x):
                return self.proj(x).flatten(2).transpose(1, 2)


        class ViT(nn.Module):
            def __init__(self, img_size=32, patch=8, dim=24, classes=5):
                super().__init__()
                self.patch_embed = PatchEmbed(img_size, patch, dim)
                num_patches = self.patch_embed.num_patches
                self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
                self.pos_embed = nn.Parameter(torch.randn(1, num_patches, dim))
                self.block = nn.TransformerEncoderLayer(dim, 4, 48, batch_first=True)
                self.head = nn.Linear(dim, classes)

            def forward(self, img):
                x = self.patch_embed(img)
                cls = self.cls_token.expand(x.shape[0], -1, -1)
                x = torch.cat((cls, x), dim=1)
                x = x + self.pos_embed
                x = self.block(x)
                return self.head(x[:, 0])
        """,
        model="ViT()",
        inputs="torch.randn(B, 3, 32, 32)",
        expression="x + self.pos_embed",
        operands=("x: 4, 17*, 24", "pos_embed: 1, 16*, 24"),
        root=(
            ("constructor", "self.pos_embed = nn.Parameter(torch.randn(1, num_patches, dim))"),
            ("step", "x = torch.cat((cls, x), dim=1)"),
        ),
        fixed=(
            {"torch.randn(1, num_patches, dim)": "torch.randn(1, num_patches + 1, dim)"},
            {"torch.randn(1, num_patches, dim)": "torch.randn(1, 17, dim)"},
        ),
        tempting=(
            {"x + self.pos_embed": "x[:, 1:] + self.pos_embed"},
            {"x + self.pos_embed": "x[:, :16] + self.pos_embed"},
        ),
    ),
    Case(
        name="positional_table_too_short",
        source="""
        class PositionalEncoding(nn.Module):
            def __init__(self, d_model, max_len=100):
                super().__init__()
                pe = torch.zeros(max_len, d_model)
                pos = torch.arange(max_len).float().unsqueeze(1)
                div = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log(1e4) / d_model))
                pe[:, 0::2] = torch.sin(pos * div)
                pe[:, 1::2] = torch.cos(pos * div)
                self.register_buffer("pe", pe.unsqueeze(0))

            def forward(self, x):
                return x + self.pe[:, : x.size(1)]


        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = nn.Linear(6, 16)
                self.pos = PositionalEncoding(16)
                self.head = nn.Linear(16, 1)

            def forward(self, x):
                return self.head(self.pos(self.embed(x)))
        """,
        model="Model()",
        inputs="torch.randn(B, 120, 6)",
        expression="x + self.pe[:, : x.size(1)]",
        operands=("self.embed(x): 4, 120*, 16", "self.pe[:, : x.size(1)]: 1, 100*, 16"),
        module="pos",
        root=(
            ("constructor", "def __init__(self, d_model, max_len=100):"),
            ("constructor", "self.pos = PositionalEncoding(16)"),
            ("constructor", "pe = torch.zeros(max_len, d_model)"),
            ("constructor", 'self.register_buffer("pe", pe.unsqueeze(0))'),
            ("input", ""),
        ),
        fixed=({"PositionalEncoding(16)": "PositionalEncoding(16, max_len=120)"},),
        tempting=({"x + self.pe": "x[:, :100] + self.pe"},),
    ),
    Case(
        name="fpn_with_odd_maps",
        source="""
        class FPN(nn.Module):
            def __init__(self, channels=(8, 16), out=8):
                super().__init__()
                self.c1 = nn.Conv2d(3, channels[0], 3, stride=2, padding=1)
                self.c2 = nn.Conv2d(channels[0], channels[1], 3, stride=2, padding=1)
                self.lat1 = nn.Conv2d(channels[0], out, 1)
                self.lat2 = nn.Conv2d(channels[1], out, 1)
                self.smooth = nn.Conv2d(out, out, 3, padding=1)

            def forward(self, x):
                c1 = F.relu(self.c1(x))
                c2 = F.relu(self.c2(c1))
                p2 = self.lat2(c2)
                up = F.interpolate(p2, scale_factor=2, mode="bilinear")
                p1 = self.lat1(c1) + up
                return self.smooth(p1), p2
        """,
        model="FPN()",
        inputs="torch.randn(B, 3, 26, 26)",
        expression="self.lat1(c1) + up",
        operands=("self.lat1(c1): 4, 8, 13*, 13*", "up: 4, 8, 14*, 14*"),
        root=(
            ("step", "up = F.interpolate(p2, scale_factor=2, mode="),
            ("constructor", "self.c2 = nn.Conv2d("),
        ),
        fixed=({"F.interpolate(p2, scale_factor=2,": "F.interpolate(p2, size=c1.shape[-2:],"},),
        tempting=({"(c1) + up": "(c1) + up[:, :, :13, :13]"},),
    ),
    Case(
        name="class_token_expanded_with_too_few_sizes",
        source="""
        class Tokens(nn.Module):
            def __init__(self, dim=12):
                super().__init__()
                self.cls_token = nn.Parameter(torch.randn(1, 1, dim))

            def forward(self, x):
                cls = self.cls_token.expand(x.size(0), -1)
                return torch.cat([cls, x], dim=1)
        """,
        model="Tokens()",
        inputs="torch.randn(B, 9, 12)",
        expression="self.cls_token.expand(x.size(0), -1)",
        operands=("cls_token: 1, 1, 12",),
        root=(("constructor", "self.cls_token = nn.Parameter(torch.randn(1, 1, dim))"),),
        fixed=({"expand(x.size(0), -1)": "expand(x.size(0), -1, -1)"},),
    ),
    Case(
        name="padding_mask_expanded_over_heads",
        source="""
        class SelfAttention(nn.Module):
            def __init__(self, dim=16, heads=2):
                super().__init__()
                self.heads = heads
                self.qkv = nn.Linear(dim, 3 * dim)

            def forward(self, x, mask):
                # mask: (batch, time), true for real tokens
                b, t, d = x.shape
                q, k, v = self.qkv(x).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
                scores = q @ k.transpose(-2, -1)
                mask = mask.unsqueeze(1).expand(b, self.heads, t, t)
                scores = scores.masked_fill(~mask, -1e9)
                return (scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, d)
        """,
        model="SelfAttention()",
        inputs="torch.randn(B, 10, 16), torch.arange(10) < torch.randint(3, 11, (B, 1))",
        expression="mask.unsqueeze(1).expand(b, self.heads, t, t)",
        operands=("mask.unsqueeze(1): 4*, 1, 10",),
        root=(("step", "mask.unsqueeze(1)"), ("input", "")),
        fixed=({"mask.unsqueeze(1).expand": "mask.unsqueeze(1).unsqueeze(1).expand"},),
        tempting=({"mask.unsqueeze(1).expand": "mask.unsqueeze(1).unsqueeze(3).expand"},),
    ),
    Case(
        name="padding_mask_against_scores",
        source="""
        class Attention(nn.Module):
            def __init__(self, d_model, heads):
                super().__init__()
                self.heads, self.d_k = heads, d_model // heads
                self.w_q = nn.Linear(d_model, d_model)
                self.w_k = nn.Linear(d_model, d_model)
                self.w_v = nn.Linear(d_model, d_model)

            def split(self, x):
                return x.view(x.size(0), -1, self.heads, self.d_k).transpose(1, 2)

            def forward(self, q, k, v, mask=None):
                q, k, v = self.split(self.w_q(q)), self.split(self.w_k(k)), self.split(self.w_v(v))
                scores = torch.matmul(q, k.transpose(2, 3)) / self.d_k**0.5
                if mask is not None:
                    scores = scores.masked_fill(mask == 0, -1e9)
                out = torch.matmul(torch.softmax(scores, dim=-1), v)
                return out.transpose(1, 2).flatten(2)


        class EncoderLayer(nn.Module):
            def __init__(self):
                super().__init__()
                self.attn = Attention(16, 2)
                self.norm = nn.LayerNorm(16)

            def forward(self, x, mask):
                return self.norm(x + self.attn(x, x, x, mask))


        class BertLike(nn.Module):
            def __init__(self, n=2):
                super().__init__()
                self.embed = nn.Embedding(30, 16, padding_idx=0)
                self.layers = nn.ModuleList([EncoderLayer() for _ in range(n)])

            def forward(self, ids):
                mask = ids != 0
                x = self.embed(ids)
                for layer in self.layers:
                    x = layer(x, mask)
                return x
        """,
        model="BertLike()",
        inputs="torch.randint(1, 30, (B, 10)) * (torch.arange(10) < 8)",
        expression="scores.masked_fill(mask == 0, -1e9)",
        operands=("scores: 4, 2, 10*, 10", "mask == 0: 4*, 10"),
        module="layers.0.attn",
        root=(("step", "mask = ids != 0"), ("call", "self.attn(x, x, x, mask)"), ("input", "")),
        fixed=({"mask == 0, -1e9": "mask[:, None, None, :] == 0, -1e9"},),
        tempting=({"mask == 0, -1e9": "mask[:, None, :, None] == 0, -1e9"},),
    ),
    Case(
        name="context_expanded_as_a_map",
        source="""
        class GlobalContext(nn.Module):
            def __init__(self, c):
                super().__init__()
                self.fc = nn.Linear(c, c)

            def forward(self, x):
                context = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
                return torch.cat([x, context.expand_as(x)], dim=1)
        """,
        model="GlobalContext(6)",
        inputs="torch.randn(B, 6, 5, 5)",
        expression="context.expand_as(x)",
        operands=("context: 4*, 6*", "x: 4, 6, 5*, 5*"),
        root=(("step", "context = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))"),),
        fixed=({"context.expand_as(x)": "context[:, :, None, None].expand_as(x)"},),
    ),
    Case(
        name="decoder_outputs_written_along_the_batch",
        source="""
        class Seq2Seq(nn.Module):
            def __init__(self, vocab=20, emb=8, hid=12):
                super().__init__()
                self.vocab = vocab
                self.embedding = nn.Embedding(vocab, emb)
                self.encoder = nn.GRU(emb, hid, batch_first=True)
                self.cell = nn.GRUCell(emb, hid)
                self.fc = nn.Linear(hid, vocab)

            def forward(self, src, trg):
                batch_size, trg_len = trg.shape
                outputs = torch.zeros(batch_size, trg_len, self.vocab)
                _, hidden = self.encoder(self.embedding(src))
                hidden = hidden[-1]
                for t in range(trg_len):
                    hidden = self.cell(self.embedding(trg[:, t]), hidden)
                    output = self.fc(hidden)
                    outputs[t] = output
                return outputs
        """,
        model="Seq2Seq()",
        inputs="torch.randint(0, 20, (B, 9)), torch.randint(0, 20, (B, 7))",
        expression="outputs[t] = output",
        operands=("outputs: 4, 7*, 20", "output: 4*, 20"),
        root=(("step", "outputs = torch.zeros(batch_size, trg_len, self.vocab)"),),
        fixed=({"outputs[t] = output": "outputs[:, t] = output"},),
        tempting=({"torch.zeros(batch_size, trg_len": "torch.zeros(trg_len, batch_size"},),
    ),
    Case(
        name="in_place_gate_that_would_grow",
        source="""
        class Highway(nn.Module):
            def __init__(self, width):
                super().__init__()
                self.gate = nn.Linear(width, 1)
                self.transform = nn.Linear(width, width)

            def forward(self, x):
                h = torch.sigmoid(self.gate(x))
                h *= torch.relu(self.transform(x))
                return x + h
        """,
        model="Highway(10)",
        inputs="torch.randn(B, 10)",
        expression="h *= torch.relu(self.transform(x))",
        operands=("h: 4, 1*", "torch.relu(self.transform(x)): 4, 10*"),
        root=(
            ("step", "h = torch.sigmoid(self.gate(x))"),
            ("constructor", "self.gate = nn.Linear(width, 1)"),
        ),
        fixed=(
            {"h *= torch.relu(self.transform(x))": "h = h * torch.relu(self.transform(x))"},
            {"nn.Linear(width, 1)": "nn.Linear(width, width)"},
        ),
    ),
    Case(
        name="masked_mean_of_tokens",
        source="""
        class MeanPooler(nn.Module):
            def __init__(self, dim=12, classes=3):
                super().__init__()
                self.norm = nn.LayerNorm(dim)
                self.fc = nn.Linear(dim, classes)

            def forward(self, tokens, mask):
                tokens = self.norm(tokens)
                tokens = torch.where(mask, tokens, torch.zeros_like(tokens))
                pooled = tokens.sum(1) / mask.sum(1, keepdim=True)
                return self.fc(pooled)
        """,
        model="MeanPooler()",
        inputs="torch.randn(B, 9, 12), torch.arange(9) < torch.randint(2, 10, (B, 1))",
        expression="torch.where(mask, tokens, torch.zeros_like(tokens))",
        operands=(
            "mask: 4*, 9*",
            "tokens: 4, 9*, 12*",
            "torch.zeros_like(tokens): 4, 9*, 12*",
        ),
        root=(("input", ""),),
        fixed=({"torch.where(mask, ": "torch.where(mask.unsqueeze(-1), "},),
    ),
    Case(
        name="distances_to_prototypes",
        source="""
        class ProtoNet(nn.Module):
            def __init__(self, dim=16, classes=7):
                super().__init__()
                self.encoder = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, dim))
                self.prototypes = nn.Parameter(torch.randn(classes, dim))

            def forward(self, x):
                z = self.encoder(x)
                dist = (z - self.prototypes).pow(2).sum(dim=-1)
                return F.log_softmax(-dist, dim=-1)
        """,
        model="ProtoNet()",
        inputs="torch.randn(B, 10)",
        expression="z - self.prototypes",
        operands=("z: 4*, 16", "prototypes: 7*, 16"),
        root=(("constructor", "self.prototypes = nn.Parameter(torch.randn(classes, dim))"),),
        fixed=({"(z - self.prototypes)": "(z.unsqueeze(1) - self.prototypes)"},),
        tempting=({"(z - self.prototypes)": "(z - self.prototypes[: z.size(0)])"},),
    ),
)
