//! Members of a cluster, and which of them will do (ovsdb(7), "Clustered Database Service Model").
//!
//! Every server says in its database `_Server` how it stands to each of the others it serves: whether it is cut off
//! from the cluster (`connected`), whether it leads it (`leader`), and how far it has come (`index`). A server without
//! `_Server` is older than clusters.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use super::{
    core::{Attachment, Core},
    monitor::Conditions,
    result::ErrorKind,
    rpc::Rpc,
};
use crate::{Error, database, row};

row! {
    /// How a server stands to one of its databases.
    struct ServedDatabase in "Database" {
        name: String,
        model: String,
        connected: bool,
        leader: bool,
        index: Option<i64>,
    }
}

database! {
    /// What a server says of itself.
    struct Server in "_Server" {
        databases: ServedDatabase,
    }
}

/// Which members of a cluster will do.
#[derive(Clone, Debug)]
pub struct Member {
    database: String,
    leader_only: bool,
    /// The furthest that any server has been seen to be. One that is behind it would show the past.
    index: Arc<AtomicI64>,
}

impl Member {
    /// Only the leader, and the next one when another leads: what is read is what was last written.
    pub fn leader_of(database: &str) -> Self {
        Self { database: database.to_owned(), leader_only: true, index: Arc::default() }
    }

    /// Any member that is not cut off. It may be a moment behind.
    pub fn any_of(database: &str) -> Self {
        Self { leader_only: false, ..Self::leader_of(database) }
    }

    /// Looks at a server, and keeps looking: the connection ends when it will do no longer.
    pub(super) async fn check(&self, rpc: &Rpc, limit: Duration) -> Result<(), Error> {
        let unknown = |error: &Error| {
            matches!(error, Error::Rpc { kind: ErrorKind::UnknownMethod | ErrorKind::UnknownDatabase, .. })
        };
        // Without it the server ends a connection whenever a database comes or goes.
        match rpc.call("set_db_change_aware", &[true], limit).await {
            Err(error) if !unknown(&error) => return Err(error),
            _ => {}
        }
        let member = self.clone();
        let guard = Box::new(move |server: &Server| member.judge(server));
        let core = Core::new("_Server".to_owned(), Server::default(), Conditions::new(), limit, Some(guard));
        let core = Arc::new(core);
        match core.clone().attach(rpc).await {
            Err(error) if unknown(&error) => return Ok(()),
            result => result?,
        }
        let verdict = self.judge(&core.read());
        verdict.map_err(|text| Error::NotServing {
            remote: rpc.remote().clone(),
            database: self.database.clone(),
            text,
        })
    }

    fn judge(&self, server: &Server) -> Result<(), String> {
        let Some((_, row)) = server.databases.find(|row| row.name == self.database) else {
            return Err(format!("it has no database {}", self.database));
        };
        if row.model != "clustered" {
            return Ok(());
        }
        if !row.connected {
            return Err("it is cut off from its cluster".to_owned());
        }
        if self.leader_only && !row.leader {
            return Err("it does not lead the cluster".to_owned());
        }
        let index = row.index.unwrap_or_default();
        let furthest = self.index.fetch_max(index, Ordering::Relaxed);
        if index < furthest {
            return Err(format!("it is behind: at {index} where another member was at {furthest}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ovsdb::{AnyTable, json::Cursor};

    fn server(row: &str) -> Server {
        let mut server = Server::default();
        let text = format!(r#"{{"7b316e1d-d832-45ef-a03d-6a1212d7d15d":{{"initial":{row}}}}}"#);
        let mut record = server.databases.recorder();
        server.databases.update(&mut Cursor::new(text.as_bytes()), &mut *record).unwrap();
        server
    }

    #[test]
    fn members_are_judged_by_what_they_say() {
        let leader = Member::leader_of("d");
        let any = Member::any_of("d");
        let row = |connected: bool, leader: bool, index: i64| {
            server(&format!(
                r#"{{"name":"d","model":"clustered","connected":{connected},"leader":{leader},"index":{index}}}"#
            ))
        };
        assert_eq!(leader.judge(&row(true, true, 7)), Ok(()));
        assert!(leader.judge(&row(true, false, 8)).is_err());
        assert!(leader.judge(&row(true, true, 6)).unwrap_err().contains("behind"));
        assert_eq!(any.judge(&row(true, false, 1)), Ok(()));
        assert!(any.judge(&row(false, false, 9)).is_err());
        assert!(any.judge(&server(r#"{"name":"other","model":"clustered"}"#)).is_err());
        assert_eq!(leader.judge(&server(r#"{"name":"d","model":"standalone"}"#)), Ok(()));
    }
}
