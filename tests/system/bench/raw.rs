//! The engine's own rate: the same containers, made straight through its API.

use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, NetworkCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use futures_util::StreamExt;
use system_tests::docker::IMAGE;

/// A network is gone by then. Docker 20.10 may lose track of an endpoint, and then the network stays.
const PATIENCE: Duration = Duration::from_secs(10);
/// On what is made here, so that it can be taken away.
pub(crate) const LABEL: &str = "wharf-bench=raw";

/// Where the containers are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Host,
    Project,
}

/// Another one in each run: that of an earlier run may have stayed.
fn network_name() -> String {
    format!("wharf-bench-{}", std::process::id())
}

pub(crate) struct Raw {
    docker: Docker,
    network: Network,
    count: u32,
}

impl Raw {
    pub(crate) async fn new(network: Network, count: u32) -> anyhow::Result<Self> {
        let docker = Docker::connect_with_unix_defaults()?.negotiate_version().await?;
        if network == Network::Project {
            let name = network_name();
            let labels = Some([("wharf-bench".to_owned(), "raw".to_owned())].into());
            let request = NetworkCreateRequest { name, labels, ..Default::default() };
            docker.create_network(request).await?;
        }
        Ok(Self { docker, network, count })
    }

    fn name(number: u32, round: u32) -> String {
        format!("wharf-bench-{number}-{round}")
    }

    async fn create(&self, number: u32, round: u32) -> anyhow::Result<()> {
        let mode = match self.network {
            Network::Host => "host".to_owned(),
            Network::Project => network_name(),
        };
        let body = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            cmd: Some(vec!["sleep".to_owned(), "100000".to_owned()]),
            labels: Some([("wharf-bench".to_owned(), "raw".to_owned())].into()),
            host_config: Some(HostConfig {
                network_mode: Some(mode),
                init: Some(true),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let name = Self::name(number, round);
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        self.docker.create_container(Some(options), body).await?;
        self.docker.start_container(&name, None).await?;
        Ok(())
    }

    async fn remove(&self, number: u32, round: u32) -> anyhow::Result<()> {
        let name = Self::name(number, round);
        let options = StopContainerOptionsBuilder::new().t(10).build();
        self.docker.stop_container(&name, Some(options)).await?;
        let options = RemoveContainerOptionsBuilder::new().v(true).build();
        self.docker.remove_container(&name, Some(options)).await?;
        Ok(())
    }

    /// Creates and starts all, so many at a time; gives the time it took.
    pub(crate) async fn create_all(&self, at_once: usize) -> anyhow::Result<Duration> {
        self.all(at_once, |number| self.create(number, 0)).await
    }

    /// Stops, removes, creates and starts each, so many at a time.
    pub(crate) async fn replace_all(&self, at_once: usize) -> anyhow::Result<Duration> {
        let replace = |number| async move {
            self.remove(number, 0).await?;
            self.create(number, 1).await
        };
        self.all(at_once, replace).await
    }

    /// Stops and removes all that were made in this round.
    pub(crate) async fn remove_all(&self, at_once: usize, round: u32) -> anyhow::Result<Duration> {
        self.all(at_once, |number| self.remove(number, round)).await
    }

    async fn all<F, D>(&self, at_once: usize, each: F) -> anyhow::Result<Duration>
    where
        F: Fn(u32) -> D,
        D: Future<Output = anyhow::Result<()>>,
    {
        let began = Instant::now();
        let mut done =
            futures_util::stream::iter((0..self.count).map(each)).buffer_unordered(at_once);
        while let Some(one) = done.next().await {
            one?;
        }
        Ok(began.elapsed())
    }

    pub(crate) async fn end(self) -> anyhow::Result<()> {
        if self.network == Network::Host {
            return Ok(());
        }
        // The engine may hold on to an endpoint for a moment longer than to its container.
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.docker.remove_network(&network_name()).await {
            if Instant::now() >= deadline {
                println!("{} stays until the engine is restarted: {error}", network_name());
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }
}
