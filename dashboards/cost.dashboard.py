"""What runs cost. Sums of different currencies, and of reported, estimated and billed money, are never added up."""

from __future__ import annotations

from quantum_monitor.grafana import (
    Column,
    board,
    gained,
    last,
    line,
    query,
    section,
    stat,
    table,
    threshold,
    timeseries,
    worst,
)

NO_COST = "no cost logged"
NO_BUDGET = "no budget set: alert_config cost_budget"
AGAIN = " Scripts that are run again under the same names are added up, exact to Prometheus' evaluation interval."
KINDS = " Kind: reported by the caller, estimated from prices, or billed."
COST = "quantum_cost_total"
SPENT = f"sum by (currency, kind) ({gained(COST)})"
RATE = f"rate({COST}[$__rate_interval])"
BUDGET = 'quantum_alert_value{alert="cost_budget"}'

dashboard = board(
    "quantum-cost",
    "What was spent on what, how fast, and whether the budget lasts.",
    section(
        "Spent",
        line(
            stat("Spent in the time range", "Money spent within the time range." + AGAIN + KINDS, "short",
                 query(SPENT, "{{currency}}, {{kind}}"), empty=NO_COST, decimals=2, span=6),
            stat("Spent by these runs", "Money that the runs of the selection spent since they began; of a script that "
                 "was run again under the same names, the latest." + KINDS, "short",
                 query(f"sum by (currency, kind) ({last(COST)})", "{{currency}}, {{kind}}"),
                 empty=NO_COST, decimals=2, span=6),
            stat("Last execution", "Cost of the latest execution of each run and backend." + KINDS, "short",
                 query("max by (backend, currency, kind) (quantum_cost_last_execution)",
                       "{{backend}}: {{currency}}, {{kind}}"), empty=NO_COST, span=12),
            height=5,
        ),
        line(
            timeseries("Cost a minute", "Money spent a minute, over all runs of the selection." + KINDS, "short",
                       query(f"60 * sum by (currency, kind) ({RATE})", "{{currency}}, {{kind}}"),
                       empty=NO_COST, minimum=0),
            timeseries("Cost a minute by backend", "Money spent a minute on each backend." + KINDS, "short",
                       query(f"60 * sum by (backend, currency, kind) ({RATE})", "{{backend}}: {{currency}}, {{kind}}"),
                       empty=NO_COST, minimum=0),
        ),
    ),
    section(
        "Budget",
        line(
            timeseries("Forecast against budget", "What a run has spent, and what it will have spent in six hours at "
                       "the rate of the last hour; of runs with a budget. Dashed: the budget; budget_forecast fires "
                       "when the forecast is above it. A run younger than an hour is forecast too low.", "short",
                       query(BUDGET, "spent, {{experiment}} / {{run}}"),
                       query(f"{BUDGET} + 6 * delta({BUDGET}[1h])", "in 6 hours, {{experiment}} / {{run}}"),
                       threshold("cost_budget", "budget, {{experiment}} / {{run}}"), empty=NO_BUDGET, minimum=0),
            timeseries("Forecast by currency", "What the running runs will have spent in six hours at the rate of the "
                       "last hour, with or without a budget." + KINDS, "short",
                       query(f"sum by (currency, kind) ({COST} + 6 * increase({COST}[1h]))",
                             "{{currency}}, {{kind}}"), empty=NO_COST, minimum=0),
        ),
        line(
            stat("Share of the budget", "What a run has spent of its budget.", "percentunit",
                 query(f'{BUDGET} / (quantum_alert_threshold{{alert="cost_budget"}} > 0)', "{{experiment}} / {{run}}"),
                 empty=NO_BUDGET, span=8, red_from=1),
            timeseries("Cost over the median", "Cost of an execution over the median of that backend's recent ones. "
                       "Dashed: above it, cost_spike fires.", "none",
                       worst("cost_spike"), threshold("cost_spike"),
                       empty="fewer than five executions with a cost", span=16, minimum=0),
        ),
    ),
    section(
        "Runs and backends",
        line(
            table("Cost by run and backend", "Money spent since a run began, within the time range, and by its latest "
                  "execution; also of runs that ended." + KINDS,
                  {"experiment": "Experiment", "run": "Run", "backend": "Backend", "currency": "Currency",
                   "kind": "Kind"},
                  Column("Spent", query(last(COST))),
                  Column("Spent in the range", query(gained(COST))),
                  Column("Latest execution", query(last("quantum_cost_last_execution"))),
                  empty=NO_COST, sort_by="Spent"),
            height=9,
        ),
    ),
    by_backend=True,
)  # fmt: skip
