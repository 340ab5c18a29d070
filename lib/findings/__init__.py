"""The paper's findings as claims: what is judged, and how."""
