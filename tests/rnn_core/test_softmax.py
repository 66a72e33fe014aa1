"""The softmax head: its loss by hand, padding that counts for nothing, tied embeddings."""

import pytest
import torch
from torch import nn

from rnn_core.errors import ConfigError
from rnn_core.heads.softmax import SoftmaxHead

T, B, H, V = 4, 3, 5, 7


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(7)


@pytest.fixture
def head() -> SoftmaxHead:
    return SoftmaxHead(H, V).double()


@pytest.fixture
def valid_TB() -> torch.Tensor:
    return torch.tensor([[1, 1, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1]], dtype=torch.bool)


def test_loss_is_the_sum_of_the_negative_logarithms(head: SoftmaxHead, valid_TB: torch.Tensor) -> None:
    hidden_TBH = torch.randn(T, B, H, dtype=torch.float64)
    targets_TB = torch.randint(V, (T, B))
    p_TBV = head.predict(hidden_TBH).softmax(2)
    by_hand = [-p_TBV[t, b, targets_TB[t, b]].log() for t, b in valid_TB.nonzero().tolist()]
    loss, count = head.loss(hidden_TBH, targets_TB, valid_TB)
    assert count == 7
    torch.testing.assert_close(loss, torch.stack(by_hand).sum())
    everything, count = head.loss(hidden_TBH, targets_TB, torch.ones(T, B, dtype=torch.bool))
    assert count == T * B
    torch.testing.assert_close(everything, -p_TBV.gather(2, targets_TB[:, :, None]).log().sum())


def test_what_stands_at_padding_is_not_read(head: SoftmaxHead, valid_TB: torch.Tensor) -> None:
    hidden_TBH, targets_TB = torch.randn(T, B, H, dtype=torch.float64), torch.randint(V, (T, B))
    loss, _ = head.loss(hidden_TBH, targets_TB, valid_TB)
    hidden_TBH[~valid_TB], targets_TB[~valid_TB] = torch.nan, -1
    hidden_TBH.requires_grad_()
    again, _ = head.loss(hidden_TBH, targets_TB, valid_TB)
    assert torch.equal(loss, again)
    again.backward()
    assert (hidden_TBH.grad[~valid_TB] == 0).all()
    assert (hidden_TBH.grad[valid_TB] != 0).all()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_a_window_of_padding_costs_nothing(head: SoftmaxHead) -> None:
    hidden_TBH = torch.randn(T, B, H, dtype=torch.float64, requires_grad=True)
    loss, count = head.loss(hidden_TBH, torch.zeros(T, B, dtype=torch.int64), torch.zeros(T, B, dtype=torch.bool))
    assert (loss.item(), count) == (0, 0)
    loss.backward()
    assert (hidden_TBH.grad == 0).all()
    assert all((p.grad == 0).all() for p in head.parameters())


def test_gradients_are_those_of_finite_differences(head: SoftmaxHead, valid_TB: torch.Tensor) -> None:
    hidden_TBH = torch.randn(T, B, H, dtype=torch.float64, requires_grad=True)
    targets_TB = torch.randint(V, (T, B))

    def loss(hidden_TBH: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        # gradcheck moves the weights in place, so the head's own are those given.
        return head.loss(hidden_TBH, targets_TB, valid_TB)[0]

    assert torch.autograd.gradcheck(loss, (hidden_TBH, head.weight, head.bias))


def test_predict_gives_logits_of_any_leading_dimensions(head: SoftmaxHead) -> None:
    hidden_TBH = torch.randn(T, B, H, dtype=torch.float64)
    logits_TBV = head.predict(hidden_TBH)
    assert logits_TBV.shape == (T, B, V)
    torch.testing.assert_close(logits_TBV[1, 2], head.weight @ hidden_TBH[1, 2] + head.bias)
    assert head.predict(hidden_TBH[0, 0]).shape == (V,)


def test_a_tied_weight_is_the_embedding_itself() -> None:
    embedding = nn.Embedding(V, H)
    head = SoftmaxHead(H, V, embedding.weight)
    assert head.weight is embedding.weight
    network = nn.ModuleList([embedding, head])
    assert sum(p.numel() for p in network.parameters()) == V * H + V
    tokens_TB = torch.randint(V, (T, B))
    head.loss(embedding(tokens_TB), tokens_TB, torch.ones(T, B, dtype=torch.bool))[0].backward()
    tied = embedding.weight.grad.clone()
    network.zero_grad()
    apart = SoftmaxHead(H, V)
    with torch.no_grad():
        apart.weight.copy_(embedding.weight)
    apart.loss(embedding(tokens_TB), tokens_TB, torch.ones(T, B, dtype=torch.bool))[0].backward()
    torch.testing.assert_close(tied, embedding.weight.grad + apart.weight.grad)


def test_a_tied_weight_of_another_width_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model.embedding_size: tied embeddings are 4 wide, the hidden states 5; 5,"):
        SoftmaxHead(H, V, nn.Parameter(torch.zeros(V, 4)))


def test_labels_are_smoothed_in_training_only() -> None:
    hidden_TBH, targets_TB = torch.randn(T, B, H, dtype=torch.float64), torch.randint(V, (T, B))
    head, valid_TB = SoftmaxHead(H, V, smoothing=0.2).double(), torch.ones(T, B, dtype=torch.bool)
    logits_NV = head.predict(hidden_TBH).flatten(0, 1)
    for training, smoothing in ((True, 0.2), (False, 0.0)):
        loss, _ = head.train(training).loss(hidden_TBH, targets_TB, valid_TB)
        options = {"reduction": "sum", "label_smoothing": smoothing}
        torch.testing.assert_close(loss, nn.functional.cross_entropy(logits_NV, targets_TB.flatten(), **options))
