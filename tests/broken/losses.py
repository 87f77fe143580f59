"""Losses inside forward, and gather, scatter and indexing."""

from __future__ import annotations

from tests.broken.case import Case

CASES = (
    Case(
        name="cross_entropy_of_a_sequence",
        source="""
        class CharRNN(nn.Module):
            def __init__(self, vocab=11, dim=8):
                super().__init__()
                self.embed = nn.Embedding(vocab, dim)
                self.gru = nn.GRU(dim, dim, batch_first=True)
                self.head = nn.Linear(dim, vocab)

            def forward(self, ids, targets):
                h, _ = self.gru(self.embed(ids))
                logits = self.head(h)
                loss = F.cross_entropy(logits, targets)
                return loss
        """,
        model="CharRNN()",
        inputs="torch.randint(0, 11, (B, 9)), torch.randint(0, 11, (B, 9))",
        expression="F.cross_entropy(logits, targets)",
        operands=("logits: 4, 9, 11*", "targets: 4, 9*"),
        root=(("step", "logits = self.head(h)"),),
        fixed=(
            {"cross_entropy(logits, targets)": "cross_entropy(logits.transpose(1, 2), targets)"},
        ),
        tempting=(
            {"F.cross_entropy(logits, targets)": "F.cross_entropy(logits[:, -1], targets[:, -1])"},
            {"F.cross_entropy(logits, targets)": "F.cross_entropy(logits.mean(1), targets[:, 0])"},
        ),
    ),
    Case(
        name="targets_in_a_column",
        source="""
        class Classifier(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
                self.criterion = nn.CrossEntropyLoss()

            def forward(self, x, y):
                out = self.net(x)
                return self.criterion(out, y)
        """,
        model="Classifier()",
        inputs="torch.randn(B, 6), torch.randint(0, 3, (B, 1))",
        expression="self.criterion(out, y)",
        operands=("out: 4, 3", "y: 4, 1"),
        module="criterion",
        root=(("input", ""),),
        fixed=({"self.criterion(out, y)": "self.criterion(out, y.squeeze(1))"},),
    ),
    Case(
        name="one_hot_targets_of_whole_numbers",
        source="""
        class Net(nn.Module):
            def __init__(self, classes=4):
                super().__init__()
                self.fc = nn.Linear(5, classes)

            def forward(self, x, labels):
                one_hot = F.one_hot(labels, 4)
                return F.cross_entropy(self.fc(x), one_hot)
        """,
        inputs="torch.randn(B, 5), torch.randint(0, 4, (B,))",
        expression="F.cross_entropy(self.fc(x), one_hot)",
        operands=("self.fc(x): 4, 4", "one_hot: 4, 4"),
        root=(("step", "one_hot = F.one_hot(labels, 4)"),),
        fixed=({"F.one_hot(labels, 4)": "F.one_hot(labels, 4).float()"},),
    ),
    Case(
        name="binary_loss_against_a_flat_target",
        source="""
        class FraudDetector(nn.Module):
            def __init__(self):
                super(FraudDetector, self).__init__()
                self.fc1 = nn.Linear(10, 8)
                self.fc2 = nn.Linear(8, 1)

            def forward(self, x, y):
                logit = self.fc2(F.relu(self.fc1(x)))
                loss = F.binary_cross_entropy_with_logits(logit, y)
                return loss, torch.sigmoid(logit)
        """,
        model="FraudDetector()",
        inputs="torch.randn(B, 10), torch.randint(0, 2, (B,)).float()",
        expression="F.binary_cross_entropy_with_logits(logit, y)",
        operands=("logit: 4, 1", "y: 4"),
        root=(("input", ""), ("step", "logit = self.fc2(F.relu(self.fc1(x)))")),
        fixed=(
            {"with_logits(logit, y)": "with_logits(logit, y.unsqueeze(1))"},
            {"self.fc2(F.relu(self.fc1(x)))": "self.fc2(F.relu(self.fc1(x))).squeeze(1)"},
        ),
        tempting=({"logits(logit, y)": "logits(logit.expand(-1, len(y)), y.expand(len(y), -1))"},),
    ),
    Case(
        name="segmentation_targets_with_a_channel",
        source="""
        class Segmenter(nn.Module):
            def __init__(self, classes=3):
                super().__init__()
                self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
                self.classify = nn.Conv2d(8, classes, 1)

            def forward(self, image, mask):
                scores = self.classify(self.body(image))
                return F.cross_entropy(scores, mask)
        """,
        model="Segmenter()",
        inputs="torch.randn(B, 3, 8, 8), torch.randint(0, 3, (B, 1, 8, 8))",
        expression="F.cross_entropy(scores, mask)",
        operands=("scores: 4, 3, 8, 8", "mask: 4, 1, 8, 8"),
        root=(("input", ""),),
        fixed=({"F.cross_entropy(scores, mask)": "F.cross_entropy(scores, mask.squeeze(1))"},),
    ),
    Case(
        name="segmentation_targets_of_another_size",
        source="""
        class Segmenter(nn.Module):
            def __init__(self, classes=3):
                super().__init__()
                self.down = nn.Conv2d(3, 8, 3, stride=2, padding=1)
                self.classify = nn.Conv2d(8, classes, 1)

            def forward(self, image, mask):
                scores = self.classify(F.relu(self.down(image)))
                return F.cross_entropy(scores, mask)
        """,
        model="Segmenter()",
        inputs="torch.randn(B, 3, 8, 8), torch.randint(0, 3, (B, 8, 8))",
        expression="F.cross_entropy(scores, mask)",
        operands=("scores: 4, 3, 4*, 4*", "mask: 4, 8*, 8*"),
        root=(
            ("constructor", "self.down = nn.Conv2d(3, 8, 3, stride=2, padding=1)"),
            ("step", "scores = self.classify(F.relu(self.down(image)))"),
        ),
        fixed=(
            {
                "F.cross_entropy(scores, mask)": (
                    "F.cross_entropy(F.interpolate(scores, size=mask.shape[-2:]), mask)"
                )
            },
            {
                "F.cross_entropy(scores, mask)": (
                    "F.cross_entropy("
                    "F.interpolate(scores, size=mask.shape[-2:], mode='bilinear'), mask)"
                )
            },
            {"stride=2, padding=1": "stride=1, padding=1"},
        ),
        tempting=({"F.cross_entropy(scores, mask)": "F.cross_entropy(scores, mask[:, :4, :4])"},),
    ),
    Case(
        name="label_beyond_the_classes",
        source="""
        class Net(nn.Module):
            def __init__(self, num_classes=5):
                super().__init__()
                self.fc = nn.Linear(7, num_classes)

            def forward(self, x, y):
                return F.cross_entropy(self.fc(x), y)
        """,
        # Labels that count from one.
        inputs="torch.randn(B, 7), torch.arange(5, 5 - B, -1)",
        expression="F.cross_entropy(self.fc(x), y)",
        operands=("self.fc(x): 4, 5*", "y: 4"),
        root=(
            ("input", ""),
            ("constructor", "self.fc = nn.Linear(7, num_classes)"),
            ("constructor", "num_classes=5"),
        ),
        fixed=(
            {"num_classes=5": "num_classes=6"},
            {"F.cross_entropy(self.fc(x), y)": "F.cross_entropy(self.fc(x), y - 1)"},
        ),
        tempting=({"(self.fc(x), y)": "(self.fc(x), y.clamp(max=4))"},),
    ),
    Case(
        name="dqn_gathers_with_flat_actions",
        source="""
        class DQN(nn.Module):
            def __init__(self, obs=6, actions=4):
                super().__init__()
                self.q = nn.Sequential(nn.Linear(obs, 16), nn.ReLU(), nn.Linear(16, actions))

            def forward(self, state, action):
                q_values = self.q(state)
                return q_values.gather(1, action)
        """,
        model="DQN()",
        inputs="torch.randn(B, 6), torch.randint(0, 4, (B,))",
        expression="q_values.gather(1, action)",
        operands=("q_values: 4, 4", "action: 4"),
        root=(("input", ""),),
        fixed=(
            {"gather(1, action)": "gather(1, action.unsqueeze(1))"},
            {"gather(1, action)": "gather(1, action.unsqueeze(1)).squeeze(1)"},
        ),
        tempting=({"gather(1, action)": "gather(1, action.unsqueeze(0))"},),
    ),
    Case(
        name="labels_scattered_without_a_column",
        source="""
        class SmoothLoss(nn.Module):
            def __init__(self, classes=5, eps=0.1):
                super().__init__()
                self.fc = nn.Linear(6, classes)
                self.eps = eps

            def forward(self, x, target):
                logp = F.log_softmax(self.fc(x), dim=1)
                smooth = torch.full_like(logp, self.eps / (logp.size(1) - 1))
                smooth.scatter_(1, target, 1 - self.eps)
                return -(smooth * logp).sum(1).mean()
        """,
        model="SmoothLoss()",
        inputs="torch.randn(B, 6), torch.randint(0, 5, (B,))",
        expression="smooth.scatter_(1, target, 1 - self.eps)",
        operands=("smooth: 4, 5", "target: 4"),
        root=(("input", ""),),
        fixed=({"scatter_(1, target,": "scatter_(1, target.unsqueeze(1),"},),
        tempting=({"scatter_(1, target,": "scatter_(1, target.unsqueeze(0),"},),
    ),
    Case(
        name="gather_of_points_of_lower_rank",
        source="""
        class Sampler(nn.Module):
            def __init__(self, dim=6):
                super().__init__()
                self.mlp = nn.Linear(3, dim)

            def forward(self, points, idx):
                # points: (batch, n, 3), idx: (batch, k)
                feats = self.mlp(points)
                picked = torch.gather(feats, 1, idx)
                return picked.mean(1)
        """,
        model="Sampler()",
        inputs="torch.randn(B, 10, 3), torch.randint(0, 10, (B, 5))",
        expression="torch.gather(feats, 1, idx)",
        operands=("feats: 4, 10, 6", "idx: 4, 5"),
        root=(("input", ""),),
        fixed=({"feats, 1, idx)": "feats, 1, idx.unsqueeze(-1).expand(-1, -1, feats.size(-1)))"},),
        tempting=({"feats, 1, idx)": "feats, 1, idx.unsqueeze(-1))"},),
    ),
    Case(
        name="pyramid_level_that_is_not_there",
        source="""
        class Backbone(nn.Module):
            def __init__(self):
                super().__init__()
                self.stages = nn.ModuleList([nn.Conv2d(c, 4, 3, 2, 1) for c in (3, 4, 4)])

            def forward(self, x):
                feats = []
                for stage in self.stages:
                    x = F.relu(stage(x))
                    feats.append(x)
                return torch.stack(feats[:1] * 3, dim=1)


        class Detector(nn.Module):
            def __init__(self):
                super().__init__()
                self.backbone = Backbone()

            def forward(self, image):
                feats = self.backbone(image)
                top = feats[:, 3]
                return top.mean(dim=(2, 3))
        """,
        model="Detector()",
        inputs="torch.randn(B, 3, 16, 16)",
        expression="feats[:, 3]",
        operands=("feats: 4, 3*, 4, 8, 8",),
        root=(("step", "return torch.stack(feats[:1] * 3, dim=1)"),),
        fixed=({"feats[:, 3]": "feats[:, 2]"},),
    ),
    Case(
        name="cosine_similarity_to_every_class",
        source="""
        class CosineHead(nn.Module):
            def __init__(self, dim=8, classes=6):
                super().__init__()
                self.centers = nn.Parameter(torch.randn(classes, dim))

            def forward(self, z):
                sim = F.cosine_similarity(z, self.centers, dim=-1)
                return sim.argmax(dim=1), sim


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = nn.Linear(5, 8)
                self.head = CosineHead()

            def forward(self, x):
                return self.head(self.body(x))
        """,
        inputs="torch.randn(B, 5)",
        expression="F.cosine_similarity(z, self.centers, dim=-1)",
        operands=("z: 4*, 8", "head.centers: 6*, 8"),
        module="head",
        root=(("constructor", "self.centers = nn.Parameter(torch.randn(classes, dim))"),),
        fixed=({"F.cosine_similarity(z, ": "F.cosine_similarity(z.unsqueeze(1), "},),
        tempting=(
            {
                "F.cosine_similarity(z, self.centers, dim=-1)": (
                    "F.cosine_similarity(z, self.centers[: len(z)], dim=-1).unsqueeze(1)"
                )
            },
        ),
    ),
    Case(
        name="loss_of_prediction_and_target_of_two_lengths",
        source="""
        class Forecaster(nn.Module):
            def __init__(self, horizon=6):
                super().__init__()
                self.rnn = nn.GRU(2, 10, batch_first=True)
                self.head = nn.Linear(10, horizon)

            def forward(self, history, future):
                _, h = self.rnn(history)
                pred = self.head(h[-1])
                return F.l1_loss(pred, future)
        """,
        model="Forecaster()",
        inputs="torch.randn(B, 15, 2), torch.randn(B, 8)",
        expression="F.l1_loss(pred, future)",
        operands=("pred: 4, 6*", "future: 4, 8*"),
        root=(
            ("constructor", "horizon=6"),
            ("constructor", "self.head = nn.Linear(10, horizon)"),
        ),
        fixed=(
            {"horizon=6": "horizon=8"},
            {"nn.Linear(10, horizon)": "nn.Linear(10, 8)"},
        ),
        tempting=({"F.l1_loss(pred, future)": "F.l1_loss(pred, future[:, : pred.size(1)])"},),
    ),
    Case(
        name="contrastive_labels_of_one_view",
        source="""
        class SimCLR(nn.Module):
            def __init__(self, dim=8):
                super().__init__()
                self.encoder = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, dim))

            def forward(self, a, b):
                z = F.normalize(self.encoder(torch.cat([a, b])), dim=1)
                sim = z @ z.t() / 0.5
                sim = sim.masked_fill(torch.eye(len(z), dtype=torch.bool), -1e9)
                labels = torch.arange(a.size(0)) + a.size(0)
                return F.cross_entropy(sim, labels)
        """,
        model="SimCLR()",
        inputs="torch.randn(B, 12), torch.randn(B, 12)",
        expression="F.cross_entropy(sim, labels)",
        operands=("sim: 8*, 8", "labels: 4*"),
        root=(
            ("step", "labels = torch.arange(a.size(0)) + a.size(0)"),
            ("step", "z = F.normalize(self.encoder(torch.cat([a, b])), dim=1)"),
        ),
        fixed=(),
        tempting=(
            {"F.cross_entropy(sim, labels)": "F.cross_entropy(sim, labels.repeat_interleave(2))"},
        ),
    ),
)
