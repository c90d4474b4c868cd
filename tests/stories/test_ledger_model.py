"""The access ledger of a storage account, through every order of runs, crashes, freezes and the janitor."""

from contextlib import suppress
from datetime import timedelta
from itertools import product

from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from testkit.ledger_world import NEVER, OPENED, RUNS, CrashError, World

from shared.domain.refusals import Refusal
from shared.ports import PassingError

CRASHES = (0, 1, 2, 3, NEVER)  # after so many effects
OPERATIONS = [
    *((verb, run, crash) for verb, run in product(("open", "close"), RUNS[:2]) for crash in CRASHES),
    *(("sweep", "", crash) for crash in CRASHES),
]


def test_every_order_of_three_operations_and_crashes_leads_back() -> None:
    for operations in product(OPERATIONS, repeat=3):
        world = World()
        for verb, run_id, crash_after in operations:
            world.now += timedelta(minutes=1)
            if verb == "sweep":
                world.sweep(frozenset(), crash_after)
            else:
                world.perform(verb, run_id, crash_after)
            world.check()
        world.check_settled()


Act = tuple[str, str]
ACTS = st.tuples(st.sampled_from(("open", "close", "sweep")), st.sampled_from(RUNS))


class RunsAndAJanitor(RuleBasedStateMachine):
    """Longer stories: runs live and die, activities come late or twice, a janitor has an old list."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.inside: set[str] = set()
        self.over: set[str] = set()

    @property
    def live(self) -> set[str]:
        return set(RUNS) - self.over

    @rule(run=st.sampled_from(RUNS))
    def opens(self, run: str) -> None:
        """For the first time, again, or when the run is over: an activity runs at least once."""
        before, is_over = self.world.network_state, run in self.world.left
        answer = self.world.perform("open", run)
        if is_over:
            assert isinstance(answer, Refusal)
            assert self.world.network_state == before, "opened for nobody"
        elif run in self.live and answer is not None:
            self.inside.add(run)

    @rule(run=st.sampled_from(RUNS), after=st.integers(0, 2))
    def its_host_dies_while_opening(self, run: str, after: int) -> None:
        self.world.perform("open", run, after)

    @rule(run=st.sampled_from(RUNS))
    def closes(self, run: str) -> None:
        self._ends(run)
        self.world.perform("close", run)

    @rule(run=st.sampled_from(RUNS), after=st.integers(0, 3))
    def its_host_dies_while_closing(self, run: str, after: int) -> None:
        self._ends(run)
        self.world.perform("close", run, after)

    @rule(run=st.sampled_from(RUNS))
    def is_terminated(self, run: str) -> None:
        self._ends(run)

    @rule(minutes=st.integers(1, 5), after=st.sampled_from(CRASHES))
    def time_passes_and_the_janitor_comes(self, minutes: int, after: int) -> None:
        self.world.now += timedelta(minutes=minutes)
        self.world.sweep(frozenset(self.over), after)
        if self.inside and after == NEVER:
            assert self.world.network_state == OPENED, "shut out for more than a round of the janitor"

    @rule(run=st.sampled_from(RUNS))
    def joins_after_the_janitor_asked_who_lives(self, run: str) -> None:
        dead_as_listed = frozenset(self.over)
        self.opens(run)
        self.world.sweep(dead_as_listed)

    @invariant()
    def the_way_back_is_known_and_nobody_comes_back(self) -> None:
        self.world.check()

    @invariant()
    def whoever_is_inside_finds_it_open(self) -> None:
        if self.inside and not self.world.ledger.closings:
            assert self.world.network_state == OPENED

    def _ends(self, run: str) -> None:
        self.inside.discard(run)
        self.over.add(run)

    def teardown(self) -> None:
        self.world.check_settled()

    @rule(
        frozen=ACTS,
        others=st.lists(ACTS, min_size=1, max_size=3),
        thawed=st.sampled_from([None, CrashError(), PassingError("no answer")]),
        minutes=st.sampled_from([3, 70]),
    )
    def others_act_while_one_is_frozen_between_ledger_and_azure(
        self, frozen: Act, others: list[Act], thawed: Exception | None, minutes: int
    ) -> None:
        """Its lease runs out, and what it was about comes late; then it is tried again, as Durable does."""
        # One that comes back after more than an hour, and dies before it can say so, is found by nobody.
        assume(minutes == 3 or not isinstance(thawed, CrashError))

        def meanwhile() -> None:
            for act in others:
                self.world.now += timedelta(minutes=minutes)
                self._act(act)
            self.world.thawed = thawed

        self.world.meanwhile = meanwhile
        with suppress(PassingError):
            self._act(frozen)
        self.world.meanwhile = self.world.thawed = None
        self._act(frozen)

    def _act(self, act: Act) -> None:
        match act:
            case "open", run:
                self.opens(run)
            case "close", run:
                self.closes(run)
            case _:
                self.world.sweep(frozenset(self.over))


RunsAndAJanitor.TestCase.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)
test_no_story_of_runs_and_a_janitor_leaves_an_account_open = RunsAndAJanitor.TestCase
