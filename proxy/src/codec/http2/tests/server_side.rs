mod bodies;
mod ends;
mod heads;

use super::*;
