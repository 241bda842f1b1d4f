//! The one retry layer of this side. No library underneath retries on its own.
