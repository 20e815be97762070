"""How training goes: loss, gradients, parameters, pace."""

from __future__ import annotations

from quantum_monitor.grafana import board, heatmap, line, quantile, query, section, threshold, timeseries, worst

NO_STEP = "no training step logged"
NO_GRADIENT = "no gradient logged"
BY_RUN = "experiment, run"
STEP_DURATION = "quantum_training_step_duration_seconds"
RUNNING = 'on (job, instance, experiment, run) (quantum_run_status{status="running"} == 1)'

dashboard = board(
    "quantum-training",
    "Whether a run converges, and if not, why: exploding or vanishing gradients, a standstill, a slow step.",
    section(
        "Loss",
        line(
            timeseries("Loss", "Loss of the latest step, and the lowest of the run so far.", "none",
                       query("quantum_training_loss"),
                       query("quantum_training_best_loss", "best, {{experiment}} / {{run}}"),
                       empty=NO_STEP, span=16),
            timeseries("Loss above its best", "How far the latest loss is above the lowest so far, on a log axis. A "
                       "step that is the best is not drawn; a growing distance is a run that overshoots or diverges.",
                       "none",
                       query("quantum_training_loss - quantum_training_best_loss > 0", "{{experiment}} / {{run}}"),
                       empty=NO_STEP, span=8, log=True),
            height=10,
        ),
    ),
    section(
        "Gradient",
        line(
            timeseries("Gradient norm", "Euclidean norm of the latest gradient, one step a scrape; worst: of every "
                       "step. Dashed: above it, gradient_explosion fires. An infinite norm, and one of 0, leave a gap.",
                       "none",
                       query("quantum_training_gradient_norm"),
                       worst("gradient_explosion", "worst, {{experiment}} / {{run}}"),
                       threshold("gradient_explosion"), empty=NO_GRADIENT, log=True),
            timeseries("Variance across components", "Population variance across the components of the latest "
                       "gradient: a proxy for a barren plateau. Dashed: barren_plateau fires below it, while the loss "
                       "has not improved.", "none",
                       query("quantum_training_gradient_component_variance"),
                       threshold("barren_plateau"), empty="no gradient of 8 components or more logged", log=True),
        ),
        line(
            timeseries("Variance of the norm", "Population variance of the gradient norms of the last 10 steps.",
                       "none", query("quantum_training_gradient_variance"), empty=NO_GRADIENT, log=True),
            timeseries("Steps in a row that are not finite", "Steps with a NaN or infinite loss or gradient. Dashed: "
                       "above it, loss_not_finite fires.", "none",
                       worst("loss_not_finite"), threshold("loss_not_finite"),
                       empty=NO_STEP, minimum=0),
        ),
    ),
    section(
        "Parameters",
        line(
            timeseries("Parameter change", "Euclidean norm of the parameters' change since the step before.", "none",
                       query("quantum_training_parameter_change"), empty="no parameters logged", log=True),
            timeseries("Parameter norm", "Euclidean norm of the parameters; their number on the right.", "none",
                       query("quantum_training_parameter_norm"),
                       query("quantum_training_parameters", "number, {{experiment}} / {{run}}", right_unit="short"),
                       empty="no parameters logged"),
        ),
    ),
    section(
        "Pace",
        line(
            timeseries("Steps a second", "Training steps logged a second.", "cps",
                       query(f"sum by ({BY_RUN}) (rate(quantum_training_steps_total[$__rate_interval]))",
                             "{{experiment}} / {{run}}"), empty=NO_STEP, minimum=0),
            timeseries("Step duration quantiles", "Time from one step to the next: half and 95 % of the steps took at "
                       "most this. As fine as the buckets of the histogram.", "s",
                       quantile(0.5, STEP_DURATION, BY_RUN, "50 %, {{experiment}} / {{run}}"),
                       quantile(0.95, STEP_DURATION, BY_RUN, "95 %, {{experiment}} / {{run}}"),
                       empty=NO_STEP, log=True),
            heatmap("Step duration", "Steps by the time from one to the next, over all runs of the selection.", "s",
                    STEP_DURATION, empty=NO_STEP),
        ),
        line(
            timeseries("Since the last step", "Seconds since the latest step of runs that are running. Dashed: above "
                       "it, training_stalled fires, unless a job is known to wait or run on a backend.", "s",
                       query(f"time() - quantum_training_last_step_timestamp_seconds and {RUNNING}",
                             "{{experiment}} / {{run}}"),
                       threshold("training_stalled"), empty="no run with a step is running", span=16, minimum=0),
            timeseries("Steps", "Number of the latest step, as the caller counts.", "none",
                       query("quantum_training_step"), empty=NO_STEP, span=8),
        ),
    ),
    section(
        "Your own",
        line(
            timeseries("Custom metrics", "What the training script logs under names of its own.", "none",
                       query("quantum_custom_metric", "{{name}}, {{experiment}} / {{run}}"),
                       empty="no metric of your own logged"),
        ),
    ),
)  # fmt: skip
