"""The paper's sentences as claims: in our words, each with its statistic and a criterion fixed beforehand."""

import operator
from collections.abc import Iterator
from dataclasses import dataclass

from lib.subspaces.methods import METHODS

_OPERATORS = {
    ">=": (operator.ge, "≥"),
    "<=": (operator.le, "≤"),
    "<": (operator.lt, "<"),
    ">": (operator.gt, ">"),
    "==": (operator.eq, "="),
}


@dataclass(frozen=True)
class Criterion:
    """What a statistic must fulfil: `Criterion(">=", 0.8)`, in print "≥ 0.8"."""

    operator: str
    threshold: float

    def __post_init__(self):
        if self.operator not in _OPERATORS:
            raise ValueError(f"operator: expected one of {', '.join(_OPERATORS)}, received {self.operator!r}")

    def __str__(self):
        return f"{_OPERATORS[self.operator][1]} {self.threshold:g}"

    def met(self, value: float) -> bool:
        """Whether `value` fulfils it; nan never does."""
        return bool(_OPERATORS[self.operator][0](value, self.threshold))


@dataclass(frozen=True)
class Claim:
    """What the paper says, in our words, and how it is put to the test."""

    id: str
    sentence: str
    figure: str
    statistic: str
    criterion: Criterion
    paper_value: str | None = None


#: What can be done with one run instead of training more: the four subspaces, and the average of its late weights.
WITHIN_RUN = (*METHODS, "weight-average")


def _claims() -> Iterator[Claim]:
    yield Claim(
        id="trajectories/weights-align",
        sentence="late checkpoints of one run point in nearly the same direction",
        figure="2 left",
        statistic="smallest cosine of a late checkpoint with the final one, worst run",
        criterion=Criterion(">=", 0.8),
    )
    yield Claim(
        id="trajectories/functions-stay",
        sentence="along a run predictions change less than between runs",
        figure="2 middle",
        statistic="mean late within-run disagreement / mean between-run disagreement",
        criterion=Criterion("<", 1),
    )
    yield Claim(
        id="trajectories/modes",
        sentence="runs occupy different regions of function space",
        figure="2 right",
        statistic="share of late checkpoints whose nearest neighbour in `probs` (Euclidean, before t-SNE) "
        "is of their own run",
        criterion=Criterion(">=", 0.99),
    )
    yield Claim(
        id="independent/orthogonal",
        sentence="weights of independent solutions are nearly orthogonal",
        figure="3",
        statistic="largest absolute cosine over pairs",
        criterion=Criterion("<=", 0.1),
    )
    # Ours, added when `independent/orthogonal` failed for a ResNet: scales that all start at one are a direction
    # that independent runs share by construction.
    yield Claim(
        id="independent/orthogonal-kernels",
        sentence="weights of independent solutions are nearly orthogonal, BatchNorm's scales and shifts left out "
        "(our addition)",
        figure="3",
        statistic="largest absolute cosine over pairs, without the parameters of BatchNorm",
        criterion=Criterion("<=", 0.1),
    )
    yield Claim(
        id="independent/equidistant",
        sentence="all pairs of solutions are about equally far in function space",
        figure="3",
        statistic="coefficient of variation of pairwise disagreement",
        criterion=Criterion("<=", 0.15),
    )
    yield Claim(
        id="independent/disagree",
        sentence="independent solutions are far apart in function space: errors are not shared",
        figure="3",
        statistic="mean between-run disagreement / (1 - mean accuracy)",
        criterion=Criterion(">=", 0.4),
        paper_value="0.84 to 1.04, read off figure 6",
    )
    for method in METHODS:
        yield Claim(
            id=f"subspaces/{method}/stays",
            sentence=f"samples of a subspace stay in the mode of their run ({method})",
            figure="4",
            statistic="share of samples within 2 points of the base's validation accuracy whose nearest final solution "
            "in `probs` is their own",
            criterion=Criterion(">=", 0.99),
        )
        yield Claim(
            id=f"subspaces/{method}/closer",
            sentence=f"samples differ less from their base than runs differ from each other ({method})",
            figure="4",
            statistic="mean disagreement of samples within 2 points of the base's validation accuracy with the base / "
            "mean between-run disagreement",
            criterion=Criterion("<", 1),
        )
    for method in METHODS:
        yield Claim(
            id=f"diversity/{method}",
            sentence=f"at equal accuracy, independent solutions are more diverse than subspace samples ({method})",
            figure="5, 6",
            statistic="normalised diversity of independent solutions minus that of the method's samples at the same "
            "accuracy (isotonic fit, no extrapolation)",
            criterion=Criterion(">", 0),
        )
    yield Claim(
        id="diversity/limits",
        sentence="every point of the diversity-accuracy plane lies between the two analytic limits",
        figure="5, 6",
        statistic="share of points of all methods between the limits, tolerance 2 standard errors of the point",
        criterion=Criterion(">=", 0.95),
    )
    yield Claim(
        id="diversity/below-uncorrelated",
        sentence="even independent solutions stay below the uncorrelated limit",
        figure="6, App. D",
        statistic="uncorrelated limit minus normalised diversity of independent solutions",
        criterion=Criterion(">", 0),
    )
    yield Claim(
        id="limits/family",
        sentence="the one-parameter flip family describes subspace samples better than either limit",
        figure="S6",
        statistic="RMSE of the best member of the family minus the smaller RMSE of the two limits",
        criterion=Criterion("<", 0),
    )
    yield Claim(
        id="limits/exponent",
        sentence="wrong labels flip more readily than right ones: the family's exponent lies between 0 and 1",
        figure="S6",
        statistic="exponent e of the best member of the family, above 0 by its definition",
        criterion=Criterion("<", 1),
        paper_value="0.22 for ResNet-20 on CIFAR-100",
    )
    yield Claim(
        id="radial/valley",
        sentence="each optimum sits in a radial valley: moving along its ray keeps accuracy",
        figure="5, S1",
        statistic="accuracy loss in points at radius factors 0.8 to 1.2, worst of both optima",
        criterion=Criterion("<=", 5),
    )
    yield Claim(
        id="radial/norm-grows",
        sentence="weights grow radially during training",
        figure="5",
        statistic="norm of the final weights over norm at initialisation, smallest over runs",
        criterion=Criterion(">", 1),
    )
    yield Claim(
        id="radial/own-mode",
        sentence="in the plane, accurate points on one side resemble that side's optimum only",
        figure="5, S1",
        statistic="share of plane points within 5 points of the optimum's accuracy that agree more with the optimum "
        "nearer in angle",
        criterion=Criterion(">=", 0.95),
    )
    yield Claim(
        id="tunnel/linear-barrier",
        sentence="the straight line between optima crosses high loss",
        figure="S2",
        statistic="accuracy of the ends minus the worst on the line, points",
        criterion=Criterion(">=", 10),
    )
    yield Claim(
        id="tunnel/connector",
        sentence="an optimised path between optima does not cross high loss",
        figure="S2",
        statistic="accuracy of the ends minus the worst on the connector, points",
        criterion=Criterion("<=", 2),
    )
    yield Claim(
        id="tunnel/functions-change",
        sentence="equal loss is not equal function: along the connector predictions change from one mode's to the "
        "other's",
        figure="S2, S3",
        statistic="disagreement of the connector's middle with the nearer end / disagreement of the ends",
        criterion=Criterion(">=", 0.4),
    )
    yield Claim(
        id="ensemble/accuracy",
        sentence="averaging independent solutions beats one",
        figure="8",
        statistic="accuracy of the full ensemble minus mean single accuracy",
        criterion=Criterion(">", 0),
    )
    yield Claim(
        id="ensemble/brier",
        sentence="the average of independent solutions is better calibrated than one of them",
        figure="8",
        statistic="Brier score of the full ensemble minus mean single Brier score",
        criterion=Criterion("<", 0),
    )
    for method in WITHIN_RUN:
        yield Claim(
            id=f"ensemble/{method}/less",
            sentence=f"a subspace alone gains less than the ensemble ({method})",
            figure="8",
            statistic="accuracy gain of the method in one mode minus gain of the full ensemble",
            criterion=Criterion("<", 0),
        )
        yield Claim(
            id=f"ensemble/{method}/complements",
            sentence=f"the gains of a subspace and of the ensemble add up ({method})",
            figure="8",
            statistic="Brier score of the ensemble of the method minus that of the ensemble of plain solutions, same "
            "members",
            criterion=Criterion("<", 0),
        )
    yield Claim(
        id="ensemble/random-best",
        sentence="among subspaces in one mode, random sampling gains the most Brier score",
        figure="8, 10",
        statistic="Brier score of random minus that of the best other subspace",
        criterion=Criterion("<", 0),
    )
    yield Claim(
        id="shift/ensemble",
        sentence="the ensemble stays ahead under shift",
        figure="9 left, middle",
        statistic="smallest accuracy advantage of the ensemble over one network over severities 1 to 5",
        criterion=Criterion(">", 0),
    )
    yield Claim(
        id="shift/grows",
        sentence="the ensemble's advantage in Brier score grows with severity",
        figure="9 left, middle",
        statistic="slope of (single Brier score - ensemble Brier score) on severity",
        criterion=Criterion(">", 0),
    )
    yield Claim(
        id="shift/jsd",
        sentence="independent members are the most diverse at every severity",
        figure="9 right",
        statistic="smallest margin of their Jensen-Shannon divergence over every within-run method, severities 0 to 5",
        criterion=Criterion(">", 0),
    )
    yield Claim(
        id="shift/jsd-grows",
        sentence="the diversity of independent members grows with severity",
        figure="9 right",
        statistic="slope of their Jensen-Shannon divergence on severity",
        criterion=Criterion(">", 0),
    )
    yield Claim(
        id="shift/ood",
        sentence="independent members disagree more out of distribution than within-run samples",
        figure="Sec. 5",
        statistic="margin of their Jensen-Shannon divergence on out-of-distribution images over the best within-run "
        "method",
        criterion=Criterion(">", 0),
        paper_value="0.384 against at most 0.155, CIFAR-10 and SVHN",
    )
    yield Claim(
        id="randomness/initialisation",
        sentence="initialisation is the dominant source of diversity",
        figure="S4",
        statistic="normalised diversity: different initialisation, same order, minus same initialisation, different "
        "order; mean over learning rates",
        criterion=Criterion(">", 0),
    )
    yield Claim(
        id="randomness/both",
        sentence="a different order of the data adds to the diversity of different initialisations",
        figure="S4",
        statistic="normalised diversity: both differ minus initialisation alone; mean over learning rates",
        criterion=Criterion(">", 0),
    )
    yield Claim(
        id="randomness/rate",
        sentence="the order of the data matters more at a higher learning rate",
        figure="S4",
        statistic="normalised diversity from order alone, highest learning rate minus lowest",
        criterion=Criterion(">", 0),
    )
    yield Claim(
        id="randomness/deterministic",
        sentence="the same initialisation and the same order give the same function",
        figure="S4",
        statistic="disagreement of two such runs, CPU",
        criterion=Criterion("==", 0),
        paper_value="so on TPU, not on GPU",
    )
    yield Claim(
        id="sgmcmc/less-diverse",
        sentence="cycles of one chain of cyclical SG-MCMC are less diverse than independent runs",
        figure="S5",
        statistic="disagreement between independent runs minus between cycles of a chain",
        criterion=Criterion(">", 0),
    )


CLAIMS: dict[str, Claim] = {claim.id: claim for claim in _claims()}
