"""matmul, bmm, linear, einsum: the inner sizes of a product do not meet."""

from __future__ import annotations

from tests.broken.case import Case

CASES = (
    Case(
        name="lenet_on_smaller_images",
        source="""
        class Net(nn.Module):
            def __init__(self, num_classes=10):
                super(Net, self).__init__()
                self.conv1 = nn.Conv2d(3, 6, 5)
                self.pool = nn.MaxPool2d(2, 2)
                self.conv2 = nn.Conv2d(6, 16, 5)
                self.fc1 = nn.Linear(16 * 5 * 5, 120)
                self.fc2 = nn.Linear(120, num_classes)

            def forward(self, x):
                x = self.pool(F.relu(self.conv1(x)))
                x = self.pool(F.relu(self.conv2(x)))
                x = torch.flatten(x, 1)
                x = F.relu(self.fc1(x))
                return self.fc2(x)
        """,
        inputs="torch.randn(B, 3, 28, 28)",
        expression="self.fc1(x)",
        operands=("x: 4, 256*", "fc1.weight: 120, 400*"),
        module="fc1",
        root=(("constructor", "self.fc1 = nn.Linear(16 * 5 * 5, 120)"),),
        fixed=(
            {"nn.Linear(16 * 5 * 5, 120)": "nn.Linear(256, 120)"},
            {"nn.Linear(16 * 5 * 5, 120)": "nn.Linear(16 * 4 * 4, 120)"},
        ),
    ),
    Case(
        name="classifier_with_unused_pooling",
        source="""
        class SmallResNet(nn.Module):
            def __init__(self, classes=10):
                super().__init__()
                self.features = nn.Sequential(
                    nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
                    nn.Conv2d(16, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
                )
                self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
                self.fc = nn.Linear(64, classes)

            def forward(self, x):
                x = self.features(x)
                x = torch.flatten(x, 1)
                return self.fc(x)
        """,
        model="SmallResNet()",
        inputs="torch.randn(B, 3, 32, 32)",
        expression="self.fc(x)",
        operands=("x: 4, 4096*", "fc.weight: 10, 64*"),
        module="fc",
        root=(
            ("step", "x = torch.flatten(x, 1)"),
            ("step", "x = self.features(x)"),
            ("constructor", "self.fc = nn.Linear(64, classes)"),
        ),
        fixed=({"torch.flatten(x, 1)": "torch.flatten(self.avgpool(x), 1)"},),
        tempting=({"nn.Linear(64, classes)": "nn.Linear(4096, classes)"},),
    ),
    Case(
        name="mlp_on_images_not_flattened",
        source="""
        class MLP(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.Sequential(
                    nn.Linear(28 * 28, 128),
                    nn.ReLU(),
                    nn.Linear(128, 10),
                )

            def forward(self, x):
                # x: (batch, 1, 28, 28)
                return self.layers(x)
        """,
        model="MLP()",
        inputs="torch.randn(B, 1, 28, 28)",
        expression="self.layers(x)",
        operands=("x: 4, 1, 28, 28*", "layers.0.weight: 128, 784*"),
        module="layers.0",
        root=(("input", ""), ("step", "return self.layers(x)")),
        fixed=({"self.layers(x)": "self.layers(x.flatten(1))"},),
        tempting=({"nn.Linear(28 * 28, 128)": "nn.Linear(28, 128)"},),
    ),
    Case(
        name="autoencoder_with_a_wrong_hidden_width",
        source="""
        class AutoEncoder(nn.Module):
            def __init__(self):
                super(AutoEncoder, self).__init__()
                self.encoder = nn.Sequential(
                    nn.Linear(784, 256),
                    nn.ReLU(True),
                    nn.Linear(128, 32),
                )
                self.decoder = nn.Sequential(
                    nn.Linear(32, 256),
                    nn.ReLU(True),
                    nn.Linear(256, 784),
                    nn.Sigmoid(),
                )

            def forward(self, x):
                z = self.encoder(x.view(x.size(0), -1))
                return self.decoder(z)
        """,
        model="AutoEncoder()",
        inputs="torch.randn(B, 1, 28, 28)",
        expression="self.encoder(x.view(x.size(0), -1))",
        operands=("self.encoder(x.view(x.size(0), -1)): 4, 256*", "encoder.2.weight: 32, 128*"),
        module="encoder.2",
        root=(("constructor", "nn.Linear(128, 32)"), ("constructor", "nn.Linear(784, 256)")),
        fixed=(
            {"nn.Linear(128, 32)": "nn.Linear(256, 32)"},
            {"nn.Linear(784, 256)": "nn.Linear(784, 128)"},
        ),
    ),
    Case(
        name="squeeze_excite_not_flattened",
        source="""
        class SELayer(nn.Module):
            def __init__(self, channel, reduction=4):
                super(SELayer, self).__init__()
                self.avg_pool = nn.AdaptiveAvgPool2d(1)
                self.fc = nn.Sequential(
                    nn.Linear(channel, channel // reduction, bias=False),
                    nn.ReLU(inplace=True),
                    nn.Linear(channel // reduction, channel, bias=False),
                    nn.Sigmoid(),
                )

            def forward(self, x):
                b, c, _, _ = x.size()
                y = self.avg_pool(x)
                y = self.fc(y).view(b, c, 1, 1)
                return x * y.expand_as(x)


        class Block(nn.Module):
            def __init__(self, planes):
                super(Block, self).__init__()
                self.conv = nn.Conv2d(planes, planes, 3, padding=1)
                self.se = SELayer(planes)

            def forward(self, x):
                return x + self.se(self.conv(x))


        class Net(nn.Module):
            def __init__(self):
                super(Net, self).__init__()
                self.stem = nn.Conv2d(3, 16, 3, padding=1)
                self.layer1 = nn.Sequential(Block(16), Block(16))

            def forward(self, x):
                return self.layer1(self.stem(x))
        """,
        inputs="torch.randn(B, 3, 8, 8)",
        expression="self.fc(y)",
        operands=("y: 4, 16, 1, 1*", "layer1.0.se.fc.0.weight: 4, 16*"),
        module="layer1.0.se.fc.0",
        root=(("step", "y = self.avg_pool(x)"),),
        fixed=({"y = self.avg_pool(x)": "y = self.avg_pool(x).view(b, c)"},),
    ),
    Case(
        name="attention_scores_without_transpose",
        source="""
        def attention(query, key, value):
            d_k = query.size(-1)
            scores = torch.matmul(query, key) / math.sqrt(d_k)
            weights = F.softmax(scores, dim=-1)
            return torch.matmul(weights, value)


        class MultiHead(nn.Module):
            def __init__(self, d_model, h):
                super().__init__()
                self.h = h
                self.d_k = d_model // h
                self.q = nn.Linear(d_model, d_model)
                self.k = nn.Linear(d_model, d_model)
                self.v = nn.Linear(d_model, d_model)
                self.o = nn.Linear(d_model, d_model)

            def forward(self, x):
                n = x.size(0)
                q, k, v = [
                    lin(x).view(n, -1, self.h, self.d_k).transpose(1, 2)
                    for lin in (self.q, self.k, self.v)
                ]
                out = attention(q, k, v)
                out = out.transpose(1, 2).contiguous().view(n, -1, self.h * self.d_k)
                return self.o(out)


        class Encoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.blocks = nn.ModuleList([MultiHead(32, 4) for _ in range(2)])

            def forward(self, x):
                for block in self.blocks:
                    x = x + block(x)
                return x
        """,
        model="Encoder()",
        inputs="torch.randn(B, 10, 32)",
        expression="torch.matmul(query, key)",
        operands=("query: 4, 4, 10, 8*", "key: 4, 4, 10*, 8"),
        module="blocks.0",
        fixed=({"torch.matmul(query, key)": "torch.matmul(query, key.transpose(-2, -1))"},),
    ),
    Case(
        name="non_local_theta_not_permuted",
        source="""
        class NonLocal(nn.Module):
            def __init__(self, channels):
                super().__init__()
                self.inter = channels // 2
                self.theta = nn.Conv2d(channels, self.inter, 1)
                self.phi = nn.Conv2d(channels, self.inter, 1)
                self.g = nn.Conv2d(channels, self.inter, 1)
                self.w = nn.Conv2d(self.inter, channels, 1)

            def forward(self, x):
                b, c, h, w = x.shape
                g = self.g(x).view(b, self.inter, -1).permute(0, 2, 1)
                theta = self.theta(x).view(b, self.inter, -1)
                phi = self.phi(x).view(b, self.inter, -1)
                f = torch.matmul(theta, phi)
                attn = f.softmax(dim=-1)
                y = torch.matmul(attn, g)
                y = y.permute(0, 2, 1).reshape(b, self.inter, h, w)
                return x + self.w(y)
        """,
        model="NonLocal(16)",
        inputs="torch.randn(B, 16, 10, 10)",
        expression="torch.matmul(theta, phi)",
        operands=("theta: 4, 8, 100*", "phi: 4, 8*, 100"),
        root=(("step", "theta = self.theta(x)"),),
        fixed=({"torch.matmul(theta, phi)": "torch.matmul(theta.permute(0, 2, 1), phi)"},),
    ),
    Case(
        name="luong_attention_with_a_flat_query",
        source="""
        class Attention(nn.Module):
            def forward(self, hidden, encoder_outputs):
                # hidden: (batch, hid), encoder_outputs: (batch, len, hid)
                energy = torch.bmm(encoder_outputs, hidden).squeeze(2)
                weights = F.softmax(energy, dim=1)
                return torch.bmm(weights.unsqueeze(1), encoder_outputs).squeeze(1)


        class Summarizer(nn.Module):
            def __init__(self, vocab=50, emb=12, hid=24):
                super().__init__()
                self.embedding = nn.Embedding(vocab, emb)
                self.rnn = nn.GRU(emb, hid, batch_first=True)
                self.attention = Attention()
                self.out = nn.Linear(2 * hid, vocab)

            def forward(self, tokens):
                outputs, h_n = self.rnn(self.embedding(tokens))
                hidden = h_n[-1]
                context = self.attention(hidden, outputs)
                return self.out(torch.cat([hidden, context], dim=1))
        """,
        model="Summarizer()",
        inputs="torch.randint(0, 50, (B, 7))",
        expression="torch.bmm(encoder_outputs, hidden)",
        operands=("encoder_outputs: 4, 7, 24", "hidden: 4, 24"),
        module="attention",
        root=(("step", "hidden = h_n[-1]"),),
        fixed=(
            {
                "torch.bmm(encoder_outputs, hidden)": (
                    "torch.bmm(encoder_outputs, hidden.unsqueeze(2))"
                )
            },
        ),
    ),
    Case(
        name="bmm_of_a_gru_that_reads_time_first",
        source="""
        class Scorer(nn.Module):
            def __init__(self, emb=12, hid=24):
                super().__init__()
                self.rnn = nn.GRU(emb, hid)
                self.query = nn.Linear(emb, hid)

            def forward(self, x):
                # x: (batch, time, emb)
                outputs, _ = self.rnn(x)
                query = self.query(x.mean(dim=1))
                scores = torch.bmm(outputs.transpose(0, 1), query.unsqueeze(2))
                return scores.squeeze(2).softmax(dim=1)
        """,
        model="Scorer()",
        inputs="torch.randn(B, 9, 12)",
        expression="torch.bmm(outputs.transpose(0, 1), query.unsqueeze(2))",
        operands=("outputs.transpose(0, 1): 9*, 4, 24", "query.unsqueeze(2): 4*, 24, 1"),
        root=(
            ("constructor", "self.rnn = nn.GRU(emb, hid)"),
            ("step", "outputs.transpose(0, 1)"),
        ),
        fixed=(
            {
                "nn.GRU(emb, hid)": "nn.GRU(emb, hid, batch_first=True)",
                "outputs.transpose(0, 1)": "outputs",
            },
            {"self.rnn(x)": "self.rnn(x.transpose(0, 1))"},
        ),
        tempting=({"outputs.transpose(0, 1)": "outputs"},),
    ),
    Case(
        name="einsum_of_a_channels_first_key",
        source="""
        class CrossModal(nn.Module):
            def __init__(self):
                super().__init__()
                self.text = nn.Linear(20, 16)
                self.image = nn.Conv1d(6, 16, 1)

            def forward(self, text, image):
                q = self.text(text)
                k = self.image(image)
                scores = torch.einsum("bnd,bmd->bnm", q, k)
                return scores.softmax(-1)
        """,
        model="CrossModal()",
        inputs="torch.randn(B, 10, 20), torch.randn(B, 6, 25)",
        expression='torch.einsum("bnd,bmd->bnm", q, k)',
        operands=("q: 4, 10, 16*", "k: 4, 16, 25*"),
        root=(("step", "k = self.image(image)"),),
        fixed=({'"bnd,bmd->bnm"': '"bnd,bdm->bnm"'},),
    ),
    Case(
        name="einsum_of_a_gate_that_kept_its_axes",
        source="""
        class Gate(nn.Module):
            def __init__(self, c):
                super().__init__()
                self.pool = nn.AdaptiveAvgPool2d(1)
                self.fc = nn.Conv2d(c, c, 1)

            def forward(self, x):
                gate = torch.sigmoid(self.fc(self.pool(x)))
                return torch.einsum("bchw,bc->bchw", x, gate)
        """,
        model="Gate(6)",
        inputs="torch.randn(B, 6, 8, 8)",
        expression='torch.einsum("bchw,bc->bchw", x, gate)',
        operands=("x: 4, 6, 8, 8", "gate: 4, 6, 1, 1"),
        root=(("step", "gate = torch.sigmoid(self.fc(self.pool(x)))"),),
        fixed=({"x, gate)": "x, gate.flatten(1))"},),
    ),
    Case(
        name="frame_classifier_on_channels_first",
        source="""
        class AudioTagger(nn.Module):
            def __init__(self, n_mels=40, n_tags=6):
                super().__init__()
                self.conv = nn.Sequential(
                    nn.Conv1d(n_mels, 64, 3, padding=1), nn.ReLU(),
                    nn.Conv1d(64, 64, 3, padding=1), nn.ReLU(),
                )
                self.fc = nn.Linear(64, n_tags)

            def forward(self, spec):
                # spec: (batch, n_mels, frames)
                h = self.conv(spec)
                frames = self.fc(h)
                # one prediction per frame, then the mean over the frames
                return frames.mean(dim=1)
        """,
        model="AudioTagger()",
        inputs="torch.randn(B, 40, 50)",
        expression="self.fc(h)",
        operands=("h: 4, 64, 50*", "fc.weight: 6, 64*"),
        module="fc",
        root=(("step", "h = self.conv(spec)"),),
        fixed=({"self.fc(h)": "self.fc(h.transpose(1, 2))"},),
        tempting=({"nn.Linear(64, n_tags)": "nn.Linear(50, n_tags)"},),
    ),
    Case(
        name="one_of_many_heads_is_narrow",
        source="""
        class MultiTask(nn.Module):
            def __init__(self, sizes=(3, 5, 2)):
                super().__init__()
                self.trunk = nn.Sequential(nn.Linear(20, 48), nn.ReLU())
                self.heads = nn.ModuleList([nn.Linear(48, n) for n in sizes])
                self.heads.append(nn.Linear(64, 7))

            def forward(self, x):
                z = self.trunk(x)
                return torch.cat([head(z) for head in self.heads], dim=1)
        """,
        model="MultiTask()",
        inputs="torch.randn(B, 20)",
        expression="head(z)",
        operands=("z: 4, 48*", "heads.3.weight: 7, 64*"),
        module="heads.3",
        root=(("constructor", "self.heads.append(nn.Linear(64, 7))"),),
        fixed=({"nn.Linear(64, 7)": "nn.Linear(48, 7)"},),
        tempting=({"head(z) for": "head(F.pad(z, (0, head.in_features - z.size(1)))) for"},),
    ),
    Case(
        name="own_linear_with_its_weight_upside_down",
        source="""
        class MyLinear(nn.Module):
            def __init__(self, in_features, out_features):
                super().__init__()
                self.weight = nn.Parameter(torch.randn(in_features, out_features))
                self.bias = nn.Parameter(torch.zeros(out_features))

            def forward(self, x):
                return F.linear(x, self.weight, self.bias)


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc1 = MyLinear(16, 32)
                self.fc2 = MyLinear(32, 4)

            def forward(self, x):
                return self.fc2(F.relu(self.fc1(x)))
        """,
        inputs="torch.randn(B, 16)",
        expression="F.linear(x, self.weight, self.bias)",
        operands=("x: 4, 16*", "fc1.weight: 16, 32*"),
        module="fc1",
        root=(
            ("constructor", "self.weight = nn.Parameter(torch.randn(in_features, out_features))"),
        ),
        fixed=(
            {"F.linear(x, self.weight, self.bias)": "F.linear(x, self.weight.t(), self.bias)"},
            {"torch.randn(in_features, out_features)": "torch.randn(out_features, in_features)"},
        ),
    ),
    Case(
        name="low_rank_kernel_in_a_property",
        source="""
        class LowRank(nn.Module):
            def __init__(self, dim, rank):
                super().__init__()
                self.u = nn.Parameter(torch.randn(dim, rank) * 0.1)
                self.v = nn.Parameter(torch.randn(dim, rank) * 0.1)

            @property
            def kernel(self):
                return self.u @ self.v

            def forward(self, x):
                return x @ self.kernel


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.Sequential(nn.Linear(10, 16), LowRank(16, 4), nn.ReLU())

            def forward(self, x):
                return self.layers(x)
        """,
        inputs="torch.randn(B, 10)",
        expression="self.u @ self.v",
        operands=("layers.1.u: 16, 4*", "layers.1.v: 16*, 4"),
        module="layers.1",
        root=(("constructor", "self.v = nn.Parameter(torch.randn(dim, rank) * 0.1)"),),
        fixed=(
            {"self.u @ self.v": "self.u @ self.v.T"},
            {
                "self.v = nn.Parameter(torch.randn(dim, rank)": (
                    "self.v = nn.Parameter(torch.randn(rank, dim)"
                )
            },
        ),
    ),
    Case(
        name="graph_convolution_of_a_batch_of_graphs",
        source="""
        class GraphConv(nn.Module):
            def __init__(self, fin, fout):
                super().__init__()
                self.weight = nn.Parameter(torch.randn(fin, fout) * 0.1)

            def forward(self, x, adj):
                support = torch.mm(x, self.weight)
                return torch.matmul(adj, support)


        class GCN(nn.Module):
            def __init__(self):
                super().__init__()
                self.gc1 = GraphConv(8, 16)
                self.gc2 = GraphConv(16, 3)

            def forward(self, x, adj):
                x = F.relu(self.gc1(x, adj))
                return self.gc2(x, adj)
        """,
        model="GCN()",
        inputs="torch.randn(B, 12, 8), torch.rand(B, 12, 12)",
        expression="torch.mm(x, self.weight)",
        operands=("x: 4, 12, 8", "gc1.weight: 8, 16"),
        module="gc1",
        root=(("input", ""),),
        fixed=({"torch.mm(x, self.weight)": "torch.matmul(x, self.weight)"},),
    ),
    Case(
        name="addmm_with_a_torch_style_weight",
        source="""
        class Controller(nn.Module):
            def __init__(self, n_in=6, n_out=3):
                super().__init__()
                self.weight = nn.Parameter(torch.randn(n_out, n_in))
                self.bias = nn.Parameter(torch.zeros(n_out))

            def forward(self, x):
                h = torch.addmm(self.bias, x, self.weight)
                return torch.tanh(h)
        """,
        model="Controller()",
        inputs="torch.randn(B, 6)",
        expression="torch.addmm(self.bias, x, self.weight)",
        operands=("bias: 3", "x: 4, 6*", "weight: 3*, 6"),
        root=(("constructor", "self.weight = nn.Parameter(torch.randn(n_out, n_in))"),),
        fixed=(
            {"x, self.weight)": "x, self.weight.t())"},
            {"torch.randn(n_out, n_in)": "torch.randn(n_in, n_out)"},
        ),
    ),
    Case(
        name="flatten_of_everything",
        source="""
        class Discriminator(nn.Module):
            def __init__(self, ndf=8):
                super(Discriminator, self).__init__()
                self.conv1 = nn.Conv2d(3, ndf, 4, 2, 1)
                self.conv2 = nn.Conv2d(ndf, ndf * 2, 4, 2, 1)
                self.fc = nn.Linear(ndf * 2 * 8 * 8, 1)

            def forward(self, img):
                x = F.leaky_relu(self.conv1(img), 0.2)
                x = F.leaky_relu(self.conv2(x), 0.2)
                x = x.flatten()
                return torch.sigmoid(self.fc(x))
        """,
        model="Discriminator()",
        inputs="torch.randn(B, 3, 32, 32)",
        expression="self.fc(x)",
        operands=("x: 4096*", "fc.weight: 1, 1024*"),
        module="fc",
        root=(("step", "x = x.flatten()"),),
        fixed=({"x.flatten()": "x.flatten(1)"},),
        tempting=({"nn.Linear(ndf * 2 * 8 * 8, 1)": "nn.Linear(4096, 1)"},),
    ),
    Case(
        name="directions_stacked_instead_of_joined",
        source="""
        class BiEncoder(nn.Module):
            def __init__(self, emb=10, hid=16, classes=4):
                super().__init__()
                self.fwd = nn.LSTM(emb, hid, batch_first=True)
                self.bwd = nn.LSTM(emb, hid, batch_first=True)
                self.classify = nn.Linear(2 * hid, classes)

            def forward(self, x):
                f = self.fwd(x)[0][:, -1]
                b = self.bwd(x.flip(1))[0][:, -1]
                both = torch.stack([f, b], dim=1)
                return self.classify(both)
        """,
        model="BiEncoder()",
        inputs="torch.randn(B, 7, 10)",
        expression="self.classify(both)",
        operands=("both: 4, 2, 16*", "classify.weight: 4, 32*"),
        module="classify",
        root=(("step", "both = torch.stack([f, b], dim=1)"),),
        fixed=({"torch.stack([f, b], dim=1)": "torch.cat([f, b], dim=1)"},),
        tempting=({"nn.Linear(2 * hid, classes)": "nn.Linear(16, classes)"},),
    ),
)
