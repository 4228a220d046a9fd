//! List the AI model API keys of MongoDB Atlas projects.
fn main() {}
