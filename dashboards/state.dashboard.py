"""What the trained state is like: fidelity, entanglement, purity."""

from __future__ import annotations

from quantum_monitor.grafana import board, line, query, section, threshold, timeseries, worst

BITS = "suffix:bits"
NO_STATE = "no state logged"
NO_FIDELITY = "no state with a reference logged"

dashboard = board(
    "quantum-state",
    "How near the state is to its reference, how entangled and how mixed it is.",
    section(
        "Fidelity and entanglement",
        line(
            timeseries("Fidelity and entropy", "Fidelity (Uhlmann, squared) of the latest state with its reference, on "
                       "the left, with the best of the run; entanglement entropy between the halves of a pure state, "
                       "in bits, on the right.", "none",
                       query("quantum_state_fidelity", "fidelity, {{experiment}} / {{run}}"),
                       query("quantum_state_best_fidelity", "best fidelity, {{experiment}} / {{run}}"),
                       query("quantum_state_entanglement_entropy", "entropy, {{experiment}} / {{run}}",
                             right_unit=BITS), empty=NO_STATE),
            height=11,
        ),
        line(
            timeseries("Infidelity", "One minus the fidelity, on a log axis. A fidelity of exactly 1 is not drawn.",
                       "none", query("1 - quantum_state_fidelity > 0", "{{experiment}} / {{run}}"),
                       empty=NO_FIDELITY, log=True),
            timeseries("Fidelity drop", "Best rolling median of the fidelity minus the present one, the worst of at "
                       "least the last two minutes. Dashed: above it, fidelity_drop fires.", "none",
                       worst("fidelity_drop"), threshold("fidelity_drop"),
                       empty=NO_FIDELITY, minimum=0),
        ),
    ),
    section(
        "Entanglement",
        line(
            timeseries("Global entanglement", "Meyer-Wallach measure of the latest pure state: 0 for a product state, "
                       "1 where every qubit is maximally mixed by itself.", "none",
                       query("quantum_state_global_entanglement"), empty="no pure state logged", minimum=0, maximum=1),
            timeseries("Entanglement lost", "Share of the best entanglement entropy that was lost. Dashed: above it, "
                       "entanglement_loss fires; it is off unless asked for.", "percentunit",
                       worst("entanglement_loss"), threshold("entanglement_loss"),
                       empty="the alert entanglement_loss is off", minimum=0),
        ),
    ),
    section(
        "Mixedness",
        line(
            timeseries("Purity", "Tr(rho^2): 1 for a pure state, 1/dimension for the maximally mixed one.", "none",
                       query("quantum_state_purity"), empty=NO_STATE),
            timeseries("Von Neumann entropy", "Entropy of the latest mixed state, in bits: 0 for a pure one.", BITS,
                       query("quantum_state_von_neumann_entropy"), empty="no mixed state logged", minimum=0),
        ),
    ),
    section(
        "Shape",
        line(
            timeseries("Participation ratio", "Number of computational basis states that take part: 1/sum(p^2).",
                       "none", query("quantum_state_participation_ratio"), empty=NO_STATE, log=True),
            timeseries("Norm", "Norm of the state as it was handed over, the trace of a density matrix; 1 is right.",
                       "none", query("quantum_state_norm"), empty=NO_STATE),
            timeseries("Qubits of the state", "Qubits of the latest state.", "none", query("quantum_state_qubits"),
                       empty=NO_STATE, minimum=0),
        ),
    ),
)  # fmt: skip
