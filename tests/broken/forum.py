"""Questions as people ask them: the causes of the other files in other clothes."""

from __future__ import annotations

from tests.broken.case import Case

CASES = (
    Case(
        name="vgg_head_on_small_images",
        source="""
        cfg = [8, "M", 16, "M", 32, 32, "M"]


        def make_layers(cfg):
            layers, c = [], 3
            for v in cfg:
                if v == "M":
                    layers.append(nn.MaxPool2d(2, 2))
                else:
                    layers += [nn.Conv2d(c, v, 3, padding=1), nn.ReLU(inplace=True)]
                    c = v
            return nn.Sequential(*layers)


        class VGG(nn.Module):
            def __init__(self, features, num_classes=10):
                super(VGG, self).__init__()
                self.features = features
                self.classifier = nn.Sequential(
                    nn.Linear(32 * 7 * 7, 64),
                    nn.ReLU(True),
                    nn.Dropout(),
                    nn.Linear(64, num_classes),
                )

            def forward(self, x):
                x = self.features(x)
                x = x.view(x.size(0), -1)
                x = self.classifier(x)
                return x
        """,
        model="VGG(make_layers(cfg))",
        inputs="torch.randn(B, 3, 32, 32)",
        expression="self.classifier(x)",
        operands=("x: 4, 512*", "classifier.0.weight: 64, 1568*"),
        module="classifier.0",
        root=(("constructor", "nn.Linear(32 * 7 * 7, 64)"),),
        fixed=({"32 * 7 * 7, 64": "512, 64"},),
    ),
    Case(
        name="vae_reparameterize_of_two_widths",
        source="""
        class VAE(nn.Module):
            def __init__(self, latent=8):
                super().__init__()
                self.enc = nn.Linear(30, 20)
                self.mu = nn.Linear(20, latent)
                self.logvar = nn.Linear(20, 2 * latent)
                self.dec = nn.Linear(latent, 30)

            @staticmethod
            def reparameterize(mu, logvar):
                std = torch.exp(0.5 * logvar)
                return mu + std * 0.1

            def forward(self, x):
                h = torch.tanh(self.enc(x))
                z = self.reparameterize(self.mu(h), self.logvar(h))
                return self.dec(z)
        """,
        model="VAE()",
        inputs="torch.randn(B, 30)",
        expression="mu + std * 0.1",
        operands=("mu: 4, 8*", "std * 0.1: 4, 16*"),
        root=(("constructor", "self.logvar = nn.Linear(20, 2 * latent)"),),
        fixed=({"nn.Linear(20, 2 * latent)": "nn.Linear(20, latent)"},),
        tempting=({"mu + std * 0.1": "mu + std[:, : mu.size(1)] * 0.1"},),
    ),
    Case(
        name="lstm_last_state_of_two_layers",
        source="""
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.lstm = nn.LSTM(input_size=7, hidden_size=16, num_layers=2, batch_first=True)
                self.linear = nn.Linear(16, 1)

            def forward(self, x):
                output, (h_n, c_n) = self.lstm(x)
                h = h_n.permute(1, 0, 2).reshape(x.shape[0], -1)
                return self.linear(h)
        """,
        model="Model()",
        inputs="torch.randn(B, 12, 7)",
        expression="self.linear(h)",
        operands=("h: 4, 32*", "linear.weight: 1, 16*"),
        module="linear",
        root=(
            ("step", "h = h_n.permute(1, 0, 2).reshape(x.shape[0], -1)"),
            ("constructor", "self.linear = nn.Linear(16, 1)"),
        ),
        fixed=(
            {"nn.Linear(16, 1)": "nn.Linear(32, 1)"},
            {"h_n.permute(1, 0, 2).reshape(x.shape[0], -1)": "h_n[-1]"},
        ),
        tempting=({"self.linear(h)": "self.linear(h[:, :16])"},),
    ),
    Case(
        name="pixel_shuffle_of_too_few_channels",
        source="""
        class ESPCN(nn.Module):
            def __init__(self, upscale=3):
                super().__init__()
                self.conv1 = nn.Conv2d(1, 16, 5, padding=2)
                self.conv2 = nn.Conv2d(16, upscale * 2, 3, padding=1)
                self.shuffle = nn.PixelShuffle(upscale)

            def forward(self, x):
                x = torch.tanh(self.conv1(x))
                return self.shuffle(self.conv2(x))
        """,
        model="ESPCN()",
        inputs="torch.randn(B, 1, 8, 8)",
        expression="self.shuffle(self.conv2(x))",
        operands=("self.conv2(x): 4, 6*, 8, 8",),
        module="shuffle",
        root=(("constructor", "self.conv2 = nn.Conv2d(16, upscale * 2, 3, padding=1)"),),
        fixed=({"upscale * 2, 3": "upscale ** 2, 3"},),
    ),
    Case(
        name="dense_block_counts_its_channels_wrong",
        source="""
        class DenseLayer(nn.Module):
            def __init__(self, inner, growth):
                super().__init__()
                self.norm = nn.BatchNorm2d(inner)
                self.conv = nn.Conv2d(inner, growth, 3, padding=1)

            def forward(self, x):
                out = self.conv(F.relu(self.norm(x)))
                return torch.cat([x, out], 1)


        class DenseBlock(nn.Module):
            def __init__(self, n, inner, growth):
                super().__init__()
                self.layers = nn.ModuleList(
                    [DenseLayer(inner + i * inner, growth) for i in range(n)]
                )

            def forward(self, x):
                for layer in self.layers:
                    x = layer(x)
                return x


        class DenseNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.stem = nn.Conv2d(3, 8, 3, padding=1)
                self.block = DenseBlock(3, 8, 4)

            def forward(self, x):
                return self.block(self.stem(x))
        """,
        model="DenseNet()",
        inputs="torch.randn(B, 3, 8, 8)",
        expression="self.norm(x)",
        operands=("x: 4, 12*, 8, 8", "block.layers.1.norm.running_mean: 16*"),
        module="block.layers.1.norm",
        root=(
            ("constructor", "[DenseLayer(inner + i * inner, growth) for i in range(n)]"),
            ("constructor", "self.norm = nn.BatchNorm2d(inner)"),
        ),
        fixed=({"inner + i * inner": "inner + i * growth"},),
    ),
    Case(
        name="attention_pool_with_a_flat_query",
        source="""
        class AttnPool(nn.Module):
            def __init__(self, d):
                super().__init__()
                self.query = nn.Parameter(torch.randn(d))
                self.key = nn.Linear(d, d)

            def forward(self, h):
                k = self.key(h)
                w = torch.bmm(k, self.query)
                w = torch.softmax(w, dim=1)
                return (w * h).sum(1)
        """,
        model="AttnPool(6)",
        inputs="torch.randn(B, 5, 6)",
        expression="torch.bmm(k, self.query)",
        operands=("k: 4, 5, 6", "query: 6"),
        root=(("constructor", "self.query = nn.Parameter(torch.randn(d))"),),
        fixed=({"torch.bmm(k, self.query)": "torch.matmul(k, self.query).unsqueeze(-1)"},),
    ),
    Case(
        name="multi_scale_features_joined",
        source="""
        class Inception(nn.Module):
            def __init__(self, c):
                super().__init__()
                self.b1 = nn.Conv2d(c, 4, 1)
                self.b3 = nn.Conv2d(c, 4, 3, padding=1)
                self.b5 = nn.Conv2d(c, 4, 5)
                self.pool = nn.MaxPool2d(3, stride=1, padding=1)

            def forward(self, x):
                outputs = [self.b1(x), self.b3(x), self.b5(x), self.pool(x)]
                return torch.cat(outputs, 1)


        class GoogLeNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.stem = nn.Conv2d(3, 6, 3, padding=1)
                self.inception3a = Inception(6)

            def forward(self, x):
                return self.inception3a(self.stem(x))
        """,
        model="GoogLeNet()",
        inputs="torch.randn(B, 3, 14, 14)",
        expression="torch.cat(outputs, 1)",
        operands=(
            "self.b1(x): 4, 4, 14*, 14*",
            "self.b3(x): 4, 4, 14*, 14*",
            "self.b5(x): 4, 4, 10*, 10*",
            "self.pool(x): 4, 6, 14*, 14*",
        ),
        module="inception3a",
        root=(("constructor", "self.b5 = nn.Conv2d(c, 4, 5)"), ("step", "outputs = [self.b1(x)")),
        fixed=({"nn.Conv2d(c, 4, 5)": "nn.Conv2d(c, 4, 5, padding=2)"},),
        tempting=({"torch.cat(outputs, 1)": "torch.cat([o[..., :10, :10] for o in outputs], 1)"},),
    ),
    Case(
        name="triplet_of_two_embedding_sizes",
        source="""
        class TwoTower(nn.Module):
            def __init__(self):
                super().__init__()
                self.user_tower = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 16))
                self.item_tower = nn.Sequential(nn.Linear(14, 32), nn.ReLU(), nn.Linear(32, 12))

            def forward(self, user, item):
                u = F.normalize(self.user_tower(user), dim=-1)
                i = F.normalize(self.item_tower(item), dim=-1)
                return torch.mm(u, i.t())
        """,
        model="TwoTower()",
        inputs="torch.randn(B, 10), torch.randn(B, 14)",
        expression="torch.mm(u, i.t())",
        operands=("u: 4, 16*", "i.t(): 12*, 4"),
        root=(
            ("constructor", "self.item_tower"),
            ("constructor", "self.user_tower"),
        ),
        fixed=(
            {"nn.Linear(32, 12)": "nn.Linear(32, 16)"},
            {"nn.Linear(32, 16)": "nn.Linear(32, 12)"},
        ),
        tempting=({"torch.mm(u, i.t())": "torch.mm(u[:, :12], i.t())"},),
    ),
    Case(
        name="gru_output_used_as_batch_first",
        source="""
        class SpeechNet(nn.Module):
            def __init__(self, n_feats=8, rnn_dim=10, n_class=5):
                super().__init__()
                self.cnn = nn.Conv2d(1, 4, 3, stride=2, padding=1)
                self.rnn = nn.GRU(4 * n_feats, rnn_dim, batch_first=True)
                self.out = nn.Linear(rnn_dim, n_class)

            def forward(self, x):
                # (batch, 1, feature, time)
                x = self.cnn(x)
                b, c, f, t = x.shape
                x = x.view(b, c * f, t).transpose(1, 2)
                x, _ = self.rnn(x)
                return self.out(x)
        """,
        model="SpeechNet()",
        inputs="torch.randn(B, 1, 8, 20)",
        expression="self.rnn(x)",
        operands=("x: 4, 10, 16*",),
        module="rnn",
        root=(
            ("constructor", "self.rnn = nn.GRU(4 * n_feats, rnn_dim, batch_first=True)"),
            ("constructor", "self.cnn = nn.Conv2d(1, 4, 3, stride=2, padding=1)"),
        ),
        fixed=(
            {"4 * n_feats, rnn_dim": "16, rnn_dim"},
            {"4 * n_feats, rnn_dim": "2 * n_feats, rnn_dim"},
        ),
    ),
    Case(
        name="transformer_source_and_target_batches",
        source="""
        class Seq2SeqTransformer(nn.Module):
            def __init__(self, d=16):
                super().__init__()
                self.transformer = nn.Transformer(
                    d, 2, num_encoder_layers=1, num_decoder_layers=1, dropout=0.0
                )
                self.generator = nn.Linear(d, 7)

            def forward(self, src, tgt):
                # both (batch, time, d)
                out = self.transformer(src, tgt)
                return self.generator(out)
        """,
        model="Seq2SeqTransformer()",
        inputs="torch.randn(B, 9, 16), torch.randn(B, 6, 16)",
        expression="self.transformer(src, tgt)",
        operands=("src: 4, 9*, 16", "tgt: 4, 6*, 16"),
        module="transformer",
        root=(("constructor", "self.transformer = nn.Transformer("), ("input", "")),
        fixed=({"dropout=0.0": "dropout=0.0, batch_first=True"},),
        tempting=({"self.transformer(src, tgt)": "self.transformer(src[:, : tgt.size(1)], tgt)"},),
    ),
    Case(
        name="dueling_heads",
        source="""
        class DuelingDQN(nn.Module):
            def __init__(self, obs=5, actions=3):
                super().__init__()
                self.feature = nn.Sequential(nn.Linear(obs, 16), nn.ReLU())
                self.value = nn.Linear(16, 1)
                self.advantage = nn.Linear(16, actions)

            def forward(self, x):
                f = self.feature(x)
                v = self.value(f).squeeze(1)
                a = self.advantage(f)
                return v + a - a.mean(dim=1, keepdim=True)
        """,
        model="DuelingDQN()",
        inputs="torch.randn(B, 5)",
        expression="v + a",
        operands=("v: 4*", "a: 4, 3*"),
        root=(("step", "v = self.value(f).squeeze(1)"),),
        fixed=({"self.value(f).squeeze(1)": "self.value(f)"},),
        tempting=({"return v + a": "return v.mean() + a"},),
    ),
    Case(
        name="one_hot_condition_of_a_decoder",
        source="""
        class CVAEDecoder(nn.Module):
            def __init__(self, latent=6, classes=4):
                super().__init__()
                self.classes = classes
                self.net = nn.Sequential(nn.Linear(latent, 16), nn.ReLU(), nn.Linear(16, 9))

            def forward(self, z, y):
                c = F.one_hot(y, self.classes).float()
                return self.net(torch.cat([z, c], dim=1))
        """,
        model="CVAEDecoder()",
        inputs="torch.randn(B, 6), torch.randint(0, 4, (B,))",
        expression="self.net(torch.cat([z, c], dim=1))",
        operands=("torch.cat([z, c], dim=1): 4, 10*", "net.0.weight: 16, 6*"),
        module="net.0",
        root=(("constructor", "nn.Linear(latent, 16)"),),
        fixed=({"nn.Linear(latent, 16)": "nn.Linear(10, 16)"},),
        tempting=({"self.net(torch.cat([z, c], dim=1))": "self.net(z)"},),
    ),
    Case(
        name="time_embedding_into_a_map",
        source="""
        class ResBlock(nn.Module):
            def __init__(self, ch, t_dim):
                super().__init__()
                self.conv1 = nn.Conv2d(ch, ch, 3, padding=1)
                self.t_proj = nn.Linear(t_dim, ch)
                self.conv2 = nn.Conv2d(ch, ch, 3, padding=1)

            def forward(self, x, t_emb):
                h = self.conv1(F.silu(x))
                h = h + self.t_proj(F.silu(t_emb))
                return x + self.conv2(F.silu(h))


        class DiffusionUNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.stem = nn.Conv2d(3, 6, 3, padding=1)
                self.down = nn.ModuleList([ResBlock(6, 10)])
                self.time = nn.Linear(1, 10)

            def forward(self, x, t):
                emb = self.time(t[:, None])
                x = self.stem(x)
                for block in self.down:
                    x = block(x, emb)
                return x
        """,
        model="DiffusionUNet()",
        inputs="torch.randn(B, 3, 8, 8), torch.rand(B)",
        expression="h + self.t_proj(F.silu(t_emb))",
        operands=("h: 4, 6*, 8*, 8*", "self.t_proj(F.silu(t_emb)): 4*, 6*"),
        module="down.0",
        root=(("step", "h = h + self.t_proj(F.silu(t_emb))"),),
        fixed=({"F.silu(t_emb))": "F.silu(t_emb))[:, :, None, None]"},),
    ),
    Case(
        name="spatial_gate_of_pooled_map",
        source="""
        class AttentionGate(nn.Module):
            def __init__(self, f_g, f_l, f_int):
                super().__init__()
                self.w_g = nn.Conv2d(f_g, f_int, 1)
                self.w_x = nn.Conv2d(f_l, f_int, 1)
                self.psi = nn.Conv2d(f_int, 1, 1)

            def forward(self, g, x):
                g1 = self.w_g(g)
                x1 = self.w_x(x)
                psi = torch.sigmoid(self.psi(F.relu(g1 + x1)))
                return x * psi


        class AttUNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.e1 = nn.Conv2d(1, 4, 3, padding=1)
                self.e2 = nn.Conv2d(4, 8, 3, padding=1)
                self.att = AttentionGate(8, 4, 4)
                self.out = nn.Conv2d(4, 1, 1)

            def forward(self, x):
                s = F.relu(self.e1(x))
                d = F.relu(self.e2(F.max_pool2d(s, 2)))
                return self.out(self.att(d, s))
        """,
        model="AttUNet()",
        inputs="torch.randn(B, 1, 16, 16)",
        expression="g1 + x1",
        operands=("g1: 4, 4, 8*, 8*", "x1: 4, 4, 16*, 16*"),
        module="att",
        root=(
            ("step", "d = F.relu(self.e2(F.max_pool2d(s, 2)))"),
            ("step", "g1 = self.w_g(g)"),
            ("call", "return self.out(self.att(d, s))"),
        ),
        fixed=(
            {"g1 + x1": "F.interpolate(g1, size=x1.shape[2:]) + x1"},
            {"g1 + x1": "F.interpolate(g1, size=x1.shape[2:], mode='bilinear') + x1"},
        ),
        tempting=({"g1 + x1": "g1 + x1[:, :, :8, :8]", "x * psi": "x[:, :, :8, :8] * psi"},),
    ),
    Case(
        name="wavenet_skip_of_shrinking_length",
        source="""
        class WaveBlock(nn.Module):
            def __init__(self, c, dilation):
                super().__init__()
                self.conv = nn.Conv1d(c, 2 * c, 2, dilation=dilation)
                self.proj = nn.Conv1d(c, c, 1)

            def forward(self, x):
                a, b = self.conv(x).chunk(2, dim=1)
                return x + self.proj(torch.tanh(a) * torch.sigmoid(b))


        class WaveNet(nn.Module):
            def __init__(self, c=4, layers=3):
                super().__init__()
                self.first = nn.Conv1d(1, c, 1)
                self.blocks = nn.Sequential(*(WaveBlock(c, 2**i) for i in range(layers)))

            def forward(self, audio):
                return self.blocks(self.first(audio))
        """,
        model="WaveNet()",
        inputs="torch.randn(B, 1, 20)",
        expression="x + self.proj(torch.tanh(a) * torch.sigmoid(b))",
        operands=("x: 4, 4, 20*", "self.proj(torch.tanh(a) * torch.sigmoid(b)): 4, 4, 19*"),
        module="blocks.0",
        root=(
            ("constructor", "self.conv = nn.Conv1d(c, 2 * c, 2, dilation=dilation)"),
            ("step", "a, b = self.conv(x).chunk(2, dim=1)"),
        ),
        fixed=(),
    ),
    Case(
        name="ctc_style_permute_of_three",
        source="""
        class CRNN(nn.Module):
            def __init__(self, classes=6):
                super(CRNN, self).__init__()
                self.cnn = nn.Sequential(
                    nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 2),
                    nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d((2, 1)),
                )
                self.rnn = nn.LSTM(12, 8, bidirectional=True)
                self.fc = nn.Linear(16, classes)

            def forward(self, x):
                conv = self.cnn(x)
                conv = conv.squeeze(2)
                conv = conv.permute(2, 0, 1)
                out, _ = self.rnn(conv)
                return self.fc(out)
        """,
        model="CRNN()",
        inputs="torch.randn(B, 1, 8, 20)",
        expression="conv.permute(2, 0, 1)",
        operands=("conv: 4, 12, 2, 10",),
        root=(
            ("step", "conv = conv.squeeze(2)"),
            ("step", "conv = self.cnn(x)"),
            ("input", ""),
            ("constructor", "nn.MaxPool2d((2, 1))"),
        ),
        fixed=(),
        tempting=({"conv.squeeze(2)": "conv[:, :, 0]"},),
    ),
    Case(
        name="list_index_of_a_batch",
        source="""
        class EmbeddingBagNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.emb = nn.Embedding(20, 6)
                self.fc = nn.Linear(6, 2)

            def forward(self, ids, lengths):
                x = self.emb(ids).sum(dim=1)
                x = x / lengths
                return self.fc(x)
        """,
        model="EmbeddingBagNet()",
        inputs="torch.randint(0, 20, (B, 9)), torch.randint(1, 9, (B,))",
        expression="x / lengths",
        operands=("x: 4, 6*", "lengths: 4*"),
        root=(("input", ""),),
        fixed=({"x / lengths": "x / lengths.unsqueeze(1)"},),
    ),
    Case(
        name="keypoints_reshaped_for_the_loss",
        source="""
        class Keypoints(nn.Module):
            def __init__(self, points=5):
                super().__init__()
                self.points = points
                self.backbone = nn.Sequential(
                    nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
                )
                self.regress = nn.Linear(16, points)

            def forward(self, image, target):
                out = self.regress(self.backbone(image))
                out = out.view(-1, self.points, 2)
                return F.mse_loss(out, target)
        """,
        model="Keypoints()",
        inputs="torch.randn(B, 1, 12, 12), torch.randn(B, 5, 2)",
        expression="F.mse_loss(out, target)",
        operands=("out: 2*, 5, 2", "target: 4*, 5, 2"),
        root=(
            ("step", "out = out.view(-1, self.points, 2)"),
            ("constructor", "self.regress = nn.Linear(16, points)"),
        ),
        fixed=(
            {"nn.Linear(16, points)": "nn.Linear(16, points * 2)"},
            {"nn.Linear(16, points)": "nn.Linear(16, 10)"},
        ),
        tempting=({"F.mse_loss(out, target)": "F.mse_loss(out, target[: len(out)])"},),
    ),
    Case(
        name="rotary_half_of_the_head",
        source="""
        def rotate(x, cos, sin):
            x1, x2 = x.chunk(2, dim=-1)
            return torch.cat([x1 * cos - x2 * sin, x2 * cos + x1 * sin], dim=-1)


        class RotaryAttention(nn.Module):
            def __init__(self, dim=24, heads=2):
                super().__init__()
                self.heads, self.d = heads, dim // heads
                self.qkv = nn.Linear(dim, 3 * dim)
                self.register_buffer("freq", 1 / 10000 ** (torch.arange(self.d).float() / self.d))

            def forward(self, x):
                b, t, _ = x.shape
                q, k, v = (
                    z.view(b, t, self.heads, self.d).transpose(1, 2)
                    for z in self.qkv(x).chunk(3, dim=-1)
                )
                angle = torch.arange(t)[:, None] * self.freq
                q, k = (rotate(z, angle.cos(), angle.sin()) for z in (q, k))
                return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        """,
        model="RotaryAttention()",
        inputs="torch.randn(B, 7, 24)",
        expression="x1 * cos",
        operands=("x1: 4, 2, 7, 6*", "cos: 7, 12*"),
        root=(
            ("constructor", 'self.register_buffer("freq"'),
            ("step", "angle = torch.arange(t)[:, None] * self.freq"),
            ("step", "x1, x2 = x.chunk(2, dim=-1)"),
        ),
        fixed=(),
        tempting=({"x.chunk(2, dim=-1)": "x.chunk(2, dim=-1); cos, sin = cos[:, :6], sin[:, :6]"},),
    ),
    Case(
        name="mean_over_a_missing_time_axis",
        source="""
        class SpeakerEncoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.lstm = nn.LSTM(5, 8, batch_first=True)
                self.proj = nn.Linear(8, 4)

            def forward(self, mels):
                out, (hidden, _) = self.lstm(mels)
                emb = self.proj(hidden[-1]).mean(dim=2)
                return F.normalize(emb, dim=1)
        """,
        model="SpeakerEncoder()",
        inputs="torch.randn(B, 9, 5)",
        expression="self.proj(hidden[-1]).mean(dim=2)",
        operands=("self.proj(hidden[-1]): 4, 4",),
        root=(("step", "emb = self.proj(hidden[-1]).mean(dim=2)"),),
        fixed=(
            {"self.proj(hidden[-1]).mean(dim=2)": "self.proj(hidden[-1])"},
            {"self.proj(hidden[-1]).mean(dim=2)": "self.proj(out).mean(dim=1)"},
        ),
    ),
    Case(
        name="linear_after_global_pool_of_two",
        source="""
        class DoublePool(nn.Module):
            def __init__(self, c, classes):
                super().__init__()
                self.avg = nn.AdaptiveAvgPool2d(1)
                self.max = nn.AdaptiveMaxPool2d(1)
                self.head = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(c), nn.Linear(c, classes))

            def forward(self, x):
                x = torch.cat([self.avg(x), self.max(x)], dim=1)
                return self.head(x)


        class FastaiLike(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = nn.Sequential(nn.Conv2d(3, 10, 3, 2), nn.ReLU())
                self.pooling = DoublePool(10, 3)

            def forward(self, x):
                return self.pooling(self.body(x))
        """,
        model="FastaiLike()",
        inputs="torch.randn(B, 3, 11, 11)",
        expression="self.head(x)",
        operands=("self.head(x): 4, 20*", "pooling.head.1.running_mean: 10*"),
        module="pooling.head.1",
        root=(
            ("constructor", "nn.BatchNorm1d(c)"),
            ("constructor", "self.pooling = DoublePool(10, 3)"),
            ("step", "x = torch.cat([self.avg(x), self.max(x)], dim=1)"),
        ),
        fixed=(
            {
                "nn.BatchNorm1d(c), nn.Linear(c, classes)": (
                    "nn.BatchNorm1d(2 * c), nn.Linear(2 * c, classes)"
                )
            },
        ),
        tempting=({"torch.cat([self.avg(x), self.max(x)], dim=1)": "self.avg(x)"},),
    ),
    Case(
        name="numpy_style_transpose_of_a_batch",
        source="""
        class Mixer(nn.Module):
            def __init__(self, tokens=9, dim=12):
                super().__init__()
                self.token_mlp = nn.Linear(tokens, tokens)
                self.channel_mlp = nn.Linear(dim, dim)

            def forward(self, x):
                y = self.token_mlp(x.transpose(0, 1)).transpose(0, 1)
                x = x + y
                return x + self.channel_mlp(x)
        """,
        model="Mixer()",
        inputs="torch.randn(B, 9, 12)",
        expression="self.token_mlp(x.transpose(0, 1))",
        operands=("x.transpose(0, 1): 9, 4, 12*", "token_mlp.weight: 9, 9*"),
        module="token_mlp",
        root=(("step", "y = self.token_mlp(x.transpose(0, 1)).transpose(0, 1)"),),
        fixed=(
            {
                "self.token_mlp(x.transpose(0, 1)).transpose(0, 1)": (
                    "self.token_mlp(x.transpose(1, 2)).transpose(1, 2)"
                )
            },
        ),
        tempting=({"nn.Linear(tokens, tokens)": "nn.Linear(dim, dim)"},),
    ),
    Case(
        name="model_called_without_its_mask",
        source="""
        class Encoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(6, 6)

            def forward(self, x, mask):
                return self.fc(x) * mask.unsqueeze(-1)
        """,
        model="Encoder()",
        inputs="torch.randn(B, 5, 6)",
        expression="def forward(self, x, mask):",
        operands=(),
        root=(("input", ""), ("call", "")),
        fixed=(),
    ),
    Case(
        name="layernorm_over_three_sizes",
        source="""
        class Block(nn.Module):
            def __init__(self, c=8, size=16):
                super().__init__()
                self.conv = nn.Conv2d(3, c, 3, stride=2, padding=1)
                self.norm = nn.LayerNorm([c, size, size])

            def forward(self, x):
                return F.gelu(self.norm(self.conv(x)))
        """,
        model="Block()",
        inputs="torch.randn(B, 3, 16, 16)",
        expression="self.norm(self.conv(x))",
        operands=("self.conv(x): 4, 8, 8*, 8*", "norm.weight: 8, 16*, 16*"),
        module="norm",
        root=(
            ("constructor", "self.norm = nn.LayerNorm([c, size, size])"),
            ("constructor", "self.conv = nn.Conv2d(3, c, 3, stride=2, padding=1)"),
            ("constructor", "size=16"),
        ),
        fixed=(
            {"nn.LayerNorm([c, size, size])": "nn.LayerNorm([c, 8, 8])"},
            {"size=16": "size=8"},
        ),
    ),
    Case(
        name="video_clip_into_conv3d",
        source="""
        class C3D(nn.Module):
            def __init__(self, classes=4):
                super().__init__()
                self.conv1 = nn.Conv3d(3, 6, kernel_size=3, padding=1)
                self.pool = nn.AdaptiveAvgPool3d(1)
                self.fc = nn.Linear(6, classes)

            def forward(self, clip):
                # clip: (batch, frames, channels, height, width)
                x = F.relu(self.conv1(clip))
                return self.fc(self.pool(x).flatten(1))
        """,
        model="C3D()",
        inputs="torch.randn(B, 8, 3, 10, 10)",
        expression="self.conv1(clip)",
        operands=("clip: 4, 8*, 3, 10, 10", "conv1.weight: 6, 3*, 3, 3, 3"),
        module="conv1",
        root=(("input", ""),),
        fixed=({"self.conv1(clip)": "self.conv1(clip.transpose(1, 2))"},),
        tempting=({"nn.Conv3d(3, 6": "nn.Conv3d(8, 6"},),
    ),
    Case(
        name="bilinear_of_three_axes",
        source="""
        class Upsampler(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv1d(4, 4, 3, padding=1)

            def forward(self, x):
                x = self.conv(x)
                return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        """,
        model="Upsampler()",
        inputs="torch.randn(B, 4, 10)",
        expression='F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)',
        operands=("x: 4, 4, 10",),
        root=(("step", "x = self.conv(x)"), ("input", "")),
        fixed=({'mode="bilinear"': 'mode="linear"'},),
    ),
    Case(
        name="lstm_cell_of_a_whole_sequence",
        source="""
        class Stepper(nn.Module):
            def __init__(self, inp=5, hid=7):
                super().__init__()
                self.hid = hid
                self.cell = nn.LSTMCell(inp, hid)
                self.fc = nn.Linear(hid, 2)

            def forward(self, x):
                h = x.new_zeros(x.size(0), self.hid)
                c = x.new_zeros(x.size(0), self.hid)
                for t in range(x.size(1)):
                    h, c = self.cell(x[t], (h, c))
                return self.fc(h)
        """,
        model="Stepper()",
        inputs="torch.randn(B, 9, 5)",
        expression="self.cell(x[t], (h, c))",
        operands=("x[t]: 9*, 5", "h: 4*, 7", "c: 4, 7"),
        module="cell",
        root=(("step", "h, c = self.cell(x[t], (h, c))"),),
        fixed=({"self.cell(x[t], (h, c))": "self.cell(x[:, t], (h, c))"},),
        tempting=(
            {
                "h = x.new_zeros(x.size(0)": "h = x.new_zeros(x.size(1)",
                "c = x.new_zeros(x.size(0)": "c = x.new_zeros(x.size(1)",
                "range(x.size(1))": "range(x.size(0))",
            },
        ),
    ),
    Case(
        name="cross_attention_over_another_batch_axis",
        source="""
        class DETRDecoder(nn.Module):
            def __init__(self, d=16, queries=5):
                super().__init__()
                self.queries = nn.Parameter(torch.randn(queries, d))
                self.attn = nn.MultiheadAttention(d, 2, batch_first=True)
                self.head = nn.Linear(d, 3)

            def forward(self, memory):
                q = self.queries.unsqueeze(1).repeat(1, memory.size(0), 1)
                out, _ = self.attn(q, memory, memory)
                return self.head(out)
        """,
        model="DETRDecoder()",
        inputs="torch.randn(B, 12, 16)",
        expression="self.attn(q, memory, memory)",
        operands=("q: 5*, 4, 16", "memory: 4*, 12, 16"),
        module="attn",
        root=(
            ("step", "q = self.queries.unsqueeze(1).repeat(1, memory.size(0), 1)"),
            ("constructor", "self.attn = nn.MultiheadAttention(d, 2, batch_first=True)"),
        ),
        fixed=(
            {
                "self.queries.unsqueeze(1).repeat(1, memory.size(0), 1)": (
                    "self.queries.unsqueeze(0).repeat(memory.size(0), 1, 1)"
                )
            },
        ),
    ),
    Case(
        name="boolean_mask_of_the_wrong_length",
        source="""
        class MaskedLM(nn.Module):
            def __init__(self, vocab=12, d=8):
                super().__init__()
                self.embed = nn.Embedding(vocab, d)
                self.out = nn.Linear(d, vocab)

            def forward(self, ids, masked):
                h = self.embed(ids)
                h = torch.cat([h.mean(1, keepdim=True), h], dim=1)
                return self.out(h[masked])
        """,
        model="MaskedLM()",
        inputs="torch.randint(0, 12, (B, 7)), torch.arange(7).expand(B, 7) % 3 == 0",
        expression="h[masked]",
        operands=("h: 4, 8*, 8", "masked: 4, 7*"),
        root=(("step", "h = torch.cat([h.mean(1, keepdim=True), h], dim=1)"), ("input", "")),
        fixed=({"h[masked]": "h[:, 1:][masked]"},),
        tempting=({"h[masked]": "h[:, :7][masked]"},),
    ),
    Case(
        name="index_add_of_edges",
        source="""
        class MessagePassing(nn.Module):
            def __init__(self, d=6):
                super().__init__()
                self.msg = nn.Linear(2 * d, d)

            def forward(self, x, edges):
                # x: (nodes, d), edges: (2, E)
                src, dst = edges[0], edges[1]
                m = self.msg(torch.cat([x[src], x[dst]]))
                out = torch.zeros_like(x)
                return out.index_add(0, dst, m)
        """,
        model="MessagePassing()",
        inputs="torch.randn(9, 6), torch.randint(0, 9, (2, 14))",
        expression="self.msg(torch.cat([x[src], x[dst]]))",
        operands=("torch.cat([x[src], x[dst]]): 28, 6*", "msg.weight: 6, 12*"),
        module="msg",
        root=(("step", "m = self.msg(torch.cat([x[src], x[dst]]))"),),
        fixed=({"torch.cat([x[src], x[dst]])": "torch.cat([x[src], x[dst]], dim=1)"},),
        tempting=(
            {"nn.Linear(2 * d, d)": "nn.Linear(d, d)", "0, dst, m)": "0, edges.flatten(), m)"},
        ),
    ),
    Case(
        name="permuted_map_viewed",
        source="""
        class YoloHead(nn.Module):
            def __init__(self, anchors=2, classes=3):
                super().__init__()
                self.attrs = 5 + classes
                self.pred = nn.Conv2d(8, anchors * self.attrs, 1)

            def forward(self, x):
                b, _, h, w = x.shape
                p = self.pred(x).permute(0, 2, 3, 1)
                p = p.view(b, -1, self.attrs)
                return p.sigmoid()


        class Detector(nn.Module):
            def __init__(self):
                super().__init__()
                self.backbone = nn.Conv2d(3, 8, 3, 2, 1)
                self.heads = nn.ModuleList([YoloHead(), YoloHead()])

            def forward(self, img):
                f = self.backbone(img)
                return torch.cat([head(f) for head in self.heads], dim=1)
        """,
        model="Detector()",
        inputs="torch.randn(B, 3, 12, 12)",
        expression="p.view(b, -1, self.attrs)",
        operands=("p: 4, 6, 6, 16",),
        module="heads.0",
        root=(("step", "p = self.pred(x).permute(0, 2, 3, 1)"),),
        fixed=({"p.view(b, -1, self.attrs)": "p.reshape(b, -1, self.attrs)"},),
        tempting=({"self.pred(x).permute(0, 2, 3, 1)": "self.pred(x)"},),
    ),
    Case(
        name="head_mask_added_to_scores",
        source="""
        class CausalSelfAttention(nn.Module):
            def __init__(self, n_embd=16, n_head=2, block_size=8):
                super().__init__()
                self.n_head = n_head
                self.c_attn = nn.Linear(n_embd, 3 * n_embd)
                self.register_buffer("bias", torch.tril(torch.ones(block_size, block_size)))

            def forward(self, x):
                B, T, C = x.size()
                q, k, v = self.c_attn(x).split(C, dim=2)
                q, k, v = (t.view(B, T, self.n_head, -1).transpose(1, 2) for t in (q, k, v))
                att = q @ k.transpose(-2, -1)
                att = att.masked_fill(self.bias[:T] == 0, float("-inf"))
                return (att.softmax(-1) @ v).transpose(1, 2).flatten(2)
        """,
        model="CausalSelfAttention()",
        inputs="torch.randn(B, 6, 16)",
        expression='att.masked_fill(self.bias[:T] == 0, float("-inf"))',
        operands=("att: 4, 2, 6, 6*", "self.bias[:T] == 0: 6, 8*"),
        root=(
            ("step", "att = att.masked_fill(self.bias[:T] == 0"),
            ("constructor", 'self.register_buffer("bias"'),
        ),
        fixed=({"self.bias[:T] == 0": "self.bias[:T, :T] == 0"},),
    ),
    Case(
        name="mixture_weights_of_stacked_experts",
        source="""
        class MoE(nn.Module):
            def __init__(self, d=6, n=3):
                super().__init__()
                self.experts = nn.ModuleList([nn.Linear(d, d) for _ in range(n)])
                self.gate = nn.Linear(d, n)

            def forward(self, x):
                w = self.gate(x).softmax(-1)
                y = torch.stack([e(x) for e in self.experts], dim=1)
                return (w * y).sum(1)
        """,
        model="MoE()",
        inputs="torch.randn(B, 6)",
        expression="w * y",
        operands=("w: 4*, 3*", "y: 4, 3*, 6*"),
        root=(("step", "w = self.gate(x).softmax(-1)"),),
        fixed=({"(w * y)": "(w.unsqueeze(-1) * y)"},),
    ),
    Case(
        name="unfolded_patches_put_back",
        source="""
        class PatchMLP(nn.Module):
            def __init__(self, p=4):
                super().__init__()
                self.p = p
                self.mlp = nn.Linear(3 * p * p, 3 * p * p)

            def forward(self, x):
                cols = F.unfold(x, self.p, stride=self.p)
                cols = self.mlp(cols)
                return F.fold(cols.transpose(1, 2), x.shape[-2:], self.p, stride=self.p)
        """,
        model="PatchMLP()",
        inputs="torch.randn(B, 3, 16, 16)",
        expression="self.mlp(cols)",
        operands=("cols: 4, 48, 16*", "mlp.weight: 48, 48*"),
        module="mlp",
        root=(("step", "cols = F.unfold(x, self.p, stride=self.p)"),),
        fixed=({"self.mlp(cols)": "self.mlp(cols.transpose(1, 2))"},),
    ),
    Case(
        name="unequal_two_streams",
        source="""
        class SlowFast(nn.Module):
            def __init__(self):
                super().__init__()
                self.slow = nn.Conv1d(4, 8, 3, stride=4, padding=1)
                self.fast = nn.Conv1d(4, 8, 3, stride=2, padding=1)
                self.head = nn.Linear(16, 3)

            def forward(self, x):
                s, f = self.slow(x), self.fast(x)
                h = torch.cat([s, f], dim=1).mean(-1)
                return self.head(h)
        """,
        model="SlowFast()",
        inputs="torch.randn(B, 4, 16)",
        expression="torch.cat([s, f], dim=1)",
        operands=("s: 4, 8, 4*", "f: 4, 8, 8*"),
        root=(
            ("constructor", "self.slow = nn.Conv1d(4, 8, 3, stride=4, padding=1)"),
            ("constructor", "self.fast = nn.Conv1d(4, 8, 3, stride=2, padding=1)"),
            ("step", "s, f = self.slow(x), self.fast(x)"),
        ),
        fixed=(
            {"torch.cat([s, f], dim=1).mean(-1)": "torch.cat([s.mean(-1), f.mean(-1)], dim=1)"},
            {"stride=4": "stride=2"},
            {"stride=2": "stride=4"},
            {"[s, f]": "[F.interpolate(s, size=f.shape[-1]), f]"},
        ),
        tempting=({"[s, f]": "[s, f[..., :4]]"},),
    ),
    Case(
        name="dropout_of_a_pair",
        source="""
        class SelfAttn(nn.Module):
            def __init__(self, d=8):
                super().__init__()
                self.mha = nn.MultiheadAttention(d, 2, batch_first=True)
                self.drop = nn.Dropout(0.1)
                self.norm = nn.LayerNorm(d)

            def forward(self, x):
                attn = self.mha(x, x, x)
                return self.norm(x + self.drop(attn))


        class Stack(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.Sequential(SelfAttn(), SelfAttn())

            def forward(self, x):
                return self.layers(x)
        """,
        model="Stack()",
        inputs="torch.randn(B, 5, 8)",
        expression="self.drop(attn)",
        operands=("attn[0]: 4, 5, 8", "attn[1]: 4, 5, 5"),
        module="layers.0.drop",
        root=(("step", "attn = self.mha(x, x, x)"),),
        fixed=({"attn = self.mha(x, x, x)": "attn, _ = self.mha(x, x, x)"},),
    ),
    Case(
        name="weights_tied_the_wrong_way",
        source="""
        class TiedLM(nn.Module):
            def __init__(self, vocab=14, d=6):
                super().__init__()
                self.embed = nn.Embedding(vocab, d)
                self.rnn = nn.GRU(d, d, batch_first=True)

            def forward(self, ids):
                h, _ = self.rnn(self.embed(ids))
                return torch.matmul(h, self.embed.weight)
        """,
        model="TiedLM()",
        inputs="torch.randint(0, 14, (B, 7))",
        expression="torch.matmul(h, self.embed.weight)",
        operands=("h: 4, 7, 6*", "embed.weight: 14*, 6"),
        root=(("constructor", "self.embed = nn.Embedding(vocab, d)"),),
        fixed=({"(h, self.embed.weight)": "(h, self.embed.weight.T)"},),
    ),
    Case(
        name="conv_bias_of_a_hypernetwork",
        source="""
        class HyperConv(nn.Module):
            def __init__(self, cin=3, cout=5, k=3, z=4):
                super().__init__()
                self.shape = (cin, cout, k, k)
                self.make = nn.Linear(z, cin * cout * k * k)
                self.z = nn.Parameter(torch.randn(z))

            def forward(self, x):
                weight = self.make(self.z).view(self.shape)
                return F.conv2d(x, weight, padding=1)
        """,
        model="HyperConv()",
        inputs="torch.randn(B, 3, 8, 8)",
        expression="F.conv2d(x, weight, padding=1)",
        operands=("x: 4, 3*, 8, 8", "weight: 3, 5*, 3, 3"),
        root=(
            ("step", "weight = self.make(self.z).view(self.shape)"),
            ("constructor", "self.shape = (cin, cout, k, k)"),
        ),
        fixed=(
            {"(cin, cout, k, k)": "(cout, cin, k, k)"},
            {"x, weight, pad": "x, weight.transpose(0, 1), pad"},
        ),
    ),
)
