//! A datapath whose flows somebody else holds.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::flow::Flow;
use crate::{Datapath, DatapathPort, Error};

/// A datapath of which a machine elsewhere says what is in it.
#[derive(Clone)]
pub struct MockDatapath {
    /// The flows, as `dpctl/dump-flows -m` prints them, one a line.
    pub flows: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The ports.
    pub ports: Arc<dyn Fn() -> Vec<DatapathPort> + Send + Sync>,
    /// What is in the log.
    pub complaints: Vec<String>,
}

impl fmt::Debug for MockDatapath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockDatapath").finish_non_exhaustive()
    }
}

#[async_trait]
impl Datapath for MockDatapath {
    async fn flows(&self) -> Result<Vec<Flow>, Error> {
        Ok((self.flows)().iter().filter_map(|line| line.parse().ok()).collect())
    }

    async fn ports(&self) -> Result<Vec<DatapathPort>, Error> {
        Ok((self.ports)())
    }

    async fn complaints(&self) -> Result<Vec<String>, Error> {
        Ok(self.complaints.clone())
    }
}
